import { codecOf } from '../../../etcd/messages/codec.js';
import { keySpacePages } from '../../key-space-pages.js';
import { stripResponse } from '../../rewriter/responses.js';
import type { AllowedCall } from '../../table/lookup.js';
import { AskFailed, ask } from '../../upstream/ask.js';
import type { Upstream } from '../../upstream/upstream.js';
import type { ActiveTenant } from '../active-tenant.js';
import { Code, statuses } from '../status.js';
import type { ClusterFacts } from './cluster-facts.js';
import { CallFailed } from './local-call.js';

const responses = codecOf('LeaseLeasesResponse');
/** Keys in one page of those that are looked through. */
const PAGE = 2_000;
const NOTHING = new Uint8Array(0);

/**
 * LeaseLeases: the key space's own of all the cluster's leases. Newer etcds (`checkLeaseLeases`) let a user list only
 * while no lease holds a key that the user may not read. After such a refusal the list is put together here: the
 * leases of the key space's keys, and those that the binding was granted by this portal.
 * @throws CallFailed
 */
export async function leaseList(
  call: AllowedCall,
  active: ActiveTenant,
  upstream: Upstream,
  facts: ClusterFacts,
  signal: AbortSignal,
): Promise<object> {
  if (!active.tenant.keySpace.ownsLeaseTag) {
    throw new CallFailed(statuses.noLeases);
  }
  try {
    const answer = await ask(upstream, active.signIn, call.path, NOTHING, signal);
    return responses.decode(stripResponse(call.response, answer, active.scope));
  } catch (error) {
    if (isRefused(error)) {
      return await listed(active, upstream, facts, signal).catch(failed);
    }
    return failed(error);
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof AskFailed && error.status.code === Code.PERMISSION_DENIED;
}

function failed(error: unknown): never {
  throw error instanceof AskFailed ? new CallFailed(error.status) : error;
}

async function listed(
  active: ActiveTenant,
  upstream: Upstream,
  facts: ClusterFacts,
  signal: AbortSignal,
): Promise<object> {
  const ids = new Set(active.leases.alive(performance.now()));
  const tag = BigInt(active.scope.leaseTag);
  let revision = 0;
  const options = { revision, limit: PAGE, keysOnly: true };
  for await (const page of keySpacePages(upstream, active, options, signal)) {
    revision = Number(page.header.revision);
    for (const { lease } of page.kvs) {
      const id = BigInt(lease);
      if (id >> 32n === tag) {
        ids.add(Number(id & 0xffff_ffffn));
      }
    }
  }
  return { header: facts.header(revision), leases: [...ids].map((id) => ({ ID: String(id) })) };
}
