import type { Logger } from '../../observability/log.js';
import type { AdaptiveLimit } from '../limits/adaptive-limit.js';
import type { ClusterGuard } from '../limits/cluster-guard.js';
import type { FairScheduler } from '../limits/fairness.js';
import type { Upstream } from '../upstream/upstream.js';
import type { ActiveTenants } from './active-tenant.js';
import type { Floors } from './floors.js';

/** The longest message that a tenant may send, in bytes, before prefixes: etcd's default `--max-request-bytes`. */
export const MAX_REQUEST_BYTES = 1.5 * 1024 * 1024;

/** What calls that go to etcd need. */
export interface ForwardingParts {
  readonly upstream: Upstream;
  readonly active: ActiveTenants;
  readonly floors: Floors;
  readonly guard: ClusterGuard;
  readonly scheduler: FairScheduler;
  readonly adaptive: AdaptiveLimit;
  /** Whether the portal stops: then it begins no streams. */
  readonly isDraining: () => boolean;
  readonly log: Logger;
  /** Told of each call when it is over. @param seconds from the request to the answer */
  readonly observe: (call: string, code: number, seconds: number) => void;
}
