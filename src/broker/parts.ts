import type { Removal } from './operations/removal.js';
import type { Tasks } from './operations/tasks.js';
import type { Worker } from './operations/worker.js';
import type {
  BrokerLog,
  Clusters,
  InstanceBackups,
  OwnSession,
  Records,
  Seals,
  SharedClock,
} from './ports.js';
import type { InstanceCache } from './requests/instance-cache.js';

/** What the verbs (bind, unbind, …) work with. */
export interface BrokerParts {
  records: Records;
  clusters: Clusters;
  seals: Seals;
  session: OwnSession;
  tasks: Tasks;
  worker: Worker;
  removal: Removal;
  cache: InstanceCache;
  log: BrokerLog;
  clock: SharedClock;
  /** Absent where no backups are made. */
  backups?: InstanceBackups | undefined;
}
