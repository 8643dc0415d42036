import type { Message } from '../../../etcd/messages/codec.js';
import type { ActiveTenant } from '../active-tenant.js';
import { type Floors, floorKey } from '../floors.js';
import { statuses } from '../status.js';
import type { ClusterFacts } from './cluster-facts.js';
import { CallFailed } from './local-call.js';

/** Where floors are kept. */
export interface FloorStore {
  /** @returns the cluster's revision, by a linearizable read */
  revision(): Promise<number>;
  /**
   * Raises a floor, unless it is at least as high already.
   * @returns undefined when the instance is gone
   */
  raise(key: string, floor: number, instanceId: string): Promise<Raised | undefined>;
}

export interface Raised {
  /** The floor afterwards. */
  floor: number;
  /** Whether this call raised it. */
  isRaised: boolean;
}

/**
 * Compact: a floor for the key space. The cluster's history stays, since it is everybody's; what the tenant sees is
 * that it is gone.
 */
export async function compact(
  { revision }: Message,
  { tenant }: ActiveTenant,
  store: FloorStore,
  floors: Floors,
  facts: ClusterFacts,
): Promise<object> {
  const floor = Number(revision);
  const { prefix } = tenant.keySpace;
  const current = await store.revision();
  // As etcd's `checkPrevCompactionHash` and `updateCompactRev`: compacted first, then the future.
  if (floor <= 0 || floor <= floors.of(prefix)) {
    throw new CallFailed(statuses.compacted);
  }
  if (floor > current) {
    throw new CallFailed(statuses.futureRevision);
  }
  const key = floorKey(prefix);
  const raised = await store.raise(key, floor, tenant.instance.settings.instanceId);
  if (raised === undefined) {
    throw new CallFailed(statuses.invalidToken);
  }
  floors.put({ key, value: Buffer.from(String(raised.floor), 'latin1') });
  if (!raised.isRaised) {
    throw new CallFailed(statuses.compacted);
  }
  return { header: facts.header(current) };
}
