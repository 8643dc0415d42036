import type { LimitRefusal } from '../limits/refusals.js';
import type { Findings } from '../rewriter/findings.js';
import { Refusal } from '../rewriter/refusal.js';
import type { AllowedCall } from '../table/lookup.js';
import type { Tenant } from '../tenants/tenant.js';
import { type Status, statuses } from './status.js';

/**
 * Whether a tenant may do what a rewritten request does.
 * @param floor the key space's, 0 for none
 * @returns why not
 */
export function denialOf(
  { access, keySpace }: Pick<Tenant, 'access' | 'keySpace'>,
  { writes }: Pick<AllowedCall, 'writes'>,
  found: Findings,
  floor: number,
): Status | undefined {
  if (access === 'readonly' && (writes === 'yes' || (writes === 'by content' && found.writes))) {
    return statuses.permissionDenied;
  }
  if (found.leases > 0 && !keySpace.ownsLeaseTag) {
    return statuses.noLeases;
  }
  // As etcd compares: the floor itself can be read.
  if (found.lowestRevision > 0 && found.lowestRevision < floor) {
    return statuses.compacted;
  }
  return undefined;
}

export function refusal({ code, text }: LimitRefusal): Status {
  return { code, message: text };
}

/** What the tenant is told of a refusal of the rewriter's. @throws what is none */
export function statusOfRefusal(error: unknown): Status {
  if (error instanceof Refusal) {
    return error;
  }
  throw error;
}
