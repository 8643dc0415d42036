import { ATTEMPT_TIMEOUT_MS } from '../../etcd/client.js';
import type { Findings } from '../rewriter/findings.js';
import { Exchange } from '../upstream/exchange.js';
import { ForwardedCall } from './forwarded-call.js';
import { SESSION_TTL, sessionGrant, sessionRevocation } from './leases.js';
import type { Status } from './status.js';

/**
 * The calls of locks and elections. They may wait for others for ever, so they take no place among the requests in
 * flight and have no time limit but the client's. Where the client names no lease, etcd would make one under an id that
 * does not belong to the key space; so it is granted here first.
 */
export class SessionCall extends ForwardedCall {
  /** The lease that was chosen here, 0 for none. */
  #lease = 0;
  #isGranted = false;
  #isPending = false;
  #grant: Exchange | undefined;
  #timer: NodeJS.Timeout | undefined;

  protected override rewrittenFor(found: Findings): void {
    this.#lease = found.tookNewLease ? found.lease : 0;
  }

  protected override launch(): void {
    const { timeoutMs } = this.inbound;
    if (timeoutMs !== undefined) {
      // What waits in etcd is not to wait on for a client that has given up.
      this.#timer = setTimeout(() => this.expired(), Math.min(timeoutMs, LONGEST_TIMER_MS));
    }
    if (this.#lease === 0) {
      this.send();
      return;
    }
    const tooMany = this.active.leases.admit(performance.now());
    if (tooMany !== undefined) {
      this.finish(this.active.refuse(tooMany));
      return;
    }
    this.#isPending = true;
    this.#grant = this.#ask('LeaseGrant', sessionGrant(this.active.scope.leaseTag, this.#lease), {
      answered: () => {
        this.#isGranted = true;
        this.#counted();
        this.send();
      },
      failed: (status: Status, mayBeApplied: boolean) => {
        if (!mayBeApplied) {
          this.#isPending = false;
          this.active.leases.refused();
        }
        this.failed(status, false);
      },
    });
  }

  protected override send(): void {
    this.#grant = undefined;
    this.exchange.start(this.rewritten as Buffer, this.endAt, Number.POSITIVE_INFINITY, false);
  }

  override answered(answer: Buffer): void {
    this.#isGranted = false;
    super.answered(answer);
  }

  /**
   * etcd takes a waiting candidate's key back when its client goes, but not while authentication is on (it does so
   * without the client's token). Without its lease the key does not stand in the others' way for a minute.
   */
  protected override over(): void {
    clearTimeout(this.#timer);
    this.#counted();
    this.#grant?.cancel();
    if (this.#isGranted) {
      this.#isGranted = false;
      this.active.leases.revoked(this.#lease);
      this.#ask('LeaseRevoke', sessionRevocation(this.active.scope.leaseTag, this.#lease), {
        answered: () => undefined,
        failed: ({ message }) =>
          this.parts.log.debug({ reason: message }, 'A lease of a lock was left to run out'),
      });
    }
  }

  /** The lease is there, or may be. */
  #counted(): void {
    if (this.#isPending) {
      this.#isPending = false;
      this.active.leases.granted(this.#lease, SESSION_TTL, performance.now());
    }
  }

  #ask(name: string, message: Uint8Array, owner: Exchange['owner']): Exchange {
    const { parts, active } = this;
    const exchange = new Exchange(parts.upstream, active.signIn, `/etcdserverpb.Lease/${name}`, owner);
    exchange.start(message, performance.now() + ATTEMPT_TIMEOUT_MS, ATTEMPT_TIMEOUT_MS, false);
    return exchange;
  }
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;
