import type { EtcdClient } from '../etcd/client.js';
import { grantLease } from '../etcd/leases.js';

const DAY_SECONDS = 24 * 3_600;
const SHARE_MS = 3_600_000;

/**
 * The lease under which finished operations stay readable for a day. One lease serves all operations that this
 * replica finishes within an hour, so that history does not cost a lease each.
 */
export class HistoryLease {
  #lease: Promise<string> | undefined;
  #grantedAt = 0;

  constructor(readonly connection: EtcdClient) {}

  /** @returns a lease that lives for a day at least */
  async current(): Promise<string> {
    if (this.#lease === undefined || performance.now() - this.#grantedAt > SHARE_MS) {
      this.#grantedAt = performance.now();
      this.#lease = grantLease(this.connection, DAY_SECONDS + SHARE_MS / 1_000).catch((error: unknown) => {
        this.#lease = undefined;
        throw error;
      });
    }
    return this.#lease;
  }

  /** To be called when etcd says that the lease does not exist. */
  forget(): void {
    this.#lease = undefined;
  }
}
