import { type LimitRefusal, noSpace } from './refusals.js';

export interface BackendSize {
  /** `dbSize` of Status: the file. It never shrinks but by a defragmentation. */
  readonly size: number;
  /** `dbSizeInUse` of Status. */
  readonly inUse: number;
  /** `--quota-backend-bytes`. */
  readonly quota: number;
}

const STOP_IN_USE = 0.8;
const GO_ON_IN_USE = 0.75;
const STOP_SIZE = 0.9;

/**
 * Stops all tenants' puts before the cluster's own quota is reached, so that the broker's records go on. What counts is
 * what is in use: pages that a compaction has freed are taken again before the file grows. The file alone stops puts
 * only when it is nearly at the quota, since etcd refuses by the file's size.
 */
export class ClusterGuard {
  #isStopped = false;

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** @param members one Status each; the fullest counts */
  observe(members: readonly BackendSize[]): void {
    const limit = this.#isStopped ? GO_ON_IN_USE : STOP_IN_USE;
    if (members.length > 0) {
      this.#isStopped = members.some(
        ({ size, inUse, quota }) => inUse >= limit * quota || size >= STOP_SIZE * quota,
      );
    }
  }

  admitPut(): LimitRefusal | undefined {
    return this.#isStopped ? noSpace('cluster') : undefined;
  }
}
