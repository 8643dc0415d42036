import { codecOf } from '../../etcd/messages/codec.js';
import type { Findings } from '../rewriter/findings.js';
import { ForwardedCall } from './forwarded-call.js';
import type { Status } from './status.js';

const requests = codecOf('LeaseGrantRequest');
const answers = codecOf('LeaseGrantResponse');

/** LeaseGrant and LeaseRevoke: forwarded, and counted. */
export class LeaseCall extends ForwardedCall {
  #lease = 0;
  #isPending = false;
  #ttlSeconds = 0;

  protected override rewrittenFor(found: Findings): void {
    this.#lease = found.lease;
  }

  protected override admit(message: Buffer): Status | undefined {
    const refused = super.admit(message);
    if (refused !== undefined || this.call.name !== 'LeaseGrant') {
      return refused;
    }
    const tooMany = this.active.leases.admit(performance.now());
    if (tooMany !== undefined) {
      return this.active.refuse(tooMany);
    }
    this.#isPending = true;
    this.#ttlSeconds = Number(requests.decode(message).TTL);
    return undefined;
  }

  protected override done(stripped: Buffer): void {
    const { leases } = this.active;
    if (this.call.name === 'LeaseRevoke') {
      leases.revoked(this.#lease);
    } else if (this.#isPending) {
      this.#isPending = false;
      leases.granted(this.#lease, Number(answers.decode(stripped).TTL), performance.now());
    }
  }

  protected override over(): void {
    if (this.#isPending) {
      this.#isPending = false;
      if (this.exchange.mayBeApplied) {
        this.active.leases.granted(this.#lease, this.#ttlSeconds, performance.now());
      } else {
        this.active.leases.refused();
      }
    }
  }
}
