import { ATTEMPT_TIMEOUT_MS } from '../../etcd/client.js';
import type { Findings } from '../rewriter/findings.js';
import { Exchange } from '../upstream/exchange.js';
import { ForwardedCall } from './forwarded-call.js';
import { sessionGrant } from './leases.js';
import type { Status } from './status.js';

/**
 * The calls of locks and elections. They may wait for others for ever, so they take no place among the requests in
 * flight and have no time limit but the client's. Where the client names no lease, etcd would make one under an id that
 * does not belong to the key space; so it is granted here first.
 */
export class SessionCall extends ForwardedCall {
  #newLease = 0;
  #grant: Exchange | undefined;

  protected override rewrittenFor(found: Findings): void {
    this.#newLease = found.tookNewLease ? found.lease : 0;
  }

  protected override launch(): void {
    if (this.#newLease === 0) {
      this.send();
      return;
    }
    const { upstream } = this.parts;
    this.#grant = new Exchange(upstream, this.active.signIn, '/etcdserverpb.Lease/LeaseGrant', {
      answered: () => this.send(),
      failed: (status: Status) => this.failed(status, false),
    });
    const request = sessionGrant(this.active.scope.leaseTag, this.#newLease);
    this.#grant.start(request, this.endAt, ATTEMPT_TIMEOUT_MS, false);
  }

  protected override send(): void {
    this.#grant = undefined;
    this.exchange.start(this.rewritten as Buffer, this.endAt, Number.POSITIVE_INFINITY, false);
  }

  override onCancel(): void {
    super.onCancel();
    this.#grant?.cancel();
  }

  override tenantGone(status: Status): void {
    this.#grant?.cancel();
    super.tenantGone(status);
  }
}
