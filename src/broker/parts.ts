import type { Worker } from './operations/worker.js';
import type { BrokerLog, OwnSession, Records, Seals, SharedClock, TenantKeys, Trouble } from './ports.js';
import type { InstanceCache } from './requests/instance-cache.js';

/** What the verbs (bind, unbind, …) work with. */
export interface BrokerParts {
  records: Records;
  tenantKeys: TenantKeys;
  seals: Seals;
  session: OwnSession;
  worker: Worker;
  cache: InstanceCache;
  log: BrokerLog;
  clock: SharedClock;
  trouble: Trouble;
}
