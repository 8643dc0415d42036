import type { EtcdClient } from '../../../etcd/client.js';
import { codecOf } from '../../../etcd/messages/codec.js';
import { stripResponse } from '../../rewriter/responses.js';
import type { AllowedCall } from '../../table/lookup.js';
import { Exchange } from '../../upstream/exchange.js';
import type { Upstream } from '../../upstream/upstream.js';
import type { ActiveTenant } from '../active-tenant.js';
import { Code, type Status, statuses } from '../status.js';
import type { ClusterFacts } from './cluster-facts.js';
import { CallFailed } from './local-call.js';

const responses = codecOf('LeaseLeasesResponse');
const TIMEOUT_MS = 4_000;
const NOTHING = new Uint8Array(0);

/**
 * LeaseLeases: the key space's own of all the cluster's leases. Newer etcds (`checkLeaseLeases`) let a user
 * list only while no lease holds a key that the user may not read, so there `privileged`, who may, is asked after a refusal.
 * @throws CallFailed
 */
export async function leaseList(
  call: AllowedCall,
  active: ActiveTenant,
  upstream: Upstream,
  facts: ClusterFacts,
  privileged: EtcdClient | undefined,
  signal: AbortSignal,
): Promise<object> {
  if (!active.tenant.keySpace.ownsLeaseTag) {
    throw new CallFailed(statuses.noLeases);
  }
  try {
    const answer = await ask(upstream, active, call.path, signal);
    return responses.decode(stripResponse(call.response, answer, active.scope));
  } catch (error) {
    if (
      !(error instanceof CallFailed && error.status.code === Code.PERMISSION_DENIED) ||
      privileged === undefined
    ) {
      throw error;
    }
    const { header, leases } = await privileged.lease.leaseLeases();
    const tag = BigInt(active.scope.leaseTag);
    const own = leases.filter(({ ID }) => BigInt(ID) >> 32n === tag);
    return {
      header: facts.header(Number(header.revision)),
      leases: own.map(({ ID }) => ({ ID: String(BigInt(ID) & 0xffff_ffffn) })),
    };
  }
}

function ask(upstream: Upstream, active: ActiveTenant, path: string, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const exchange = new Exchange(upstream, active.signIn, path, {
      answered: resolve,
      failed: (status: Status) => reject(new CallFailed(status)),
    });
    signal.addEventListener('abort', () => exchange.cancel(), { once: true });
    exchange.start(NOTHING, performance.now() + TIMEOUT_MS, TIMEOUT_MS, true);
  });
}
