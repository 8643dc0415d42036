import { codecOf } from '../../etcd/messages/codec.js';
import type { Findings } from '../rewriter/findings.js';
import { idOf, type UnknownLease, unknownLeaseOf } from './leases.js';
import { statuses } from './status.js';
import { StreamCall } from './stream-call.js';

const answers = codecOf('LeaseKeepAliveResponse');
/** So many requests of one stream wait for etcd; then the client waits. */
const MAX_OUTSTANDING = 1_000;

interface Outstanding {
  readonly rewritten: Buffer;
  readonly unknown: UnknownLease | undefined;
}

/** LeaseKeepAlive: etcd answers one request after the other, in order. */
export class KeepAlive extends StreamCall {
  /** Requests without an answer, the oldest first. */
  readonly #outstanding: Outstanding[] = [];
  #isFull = false;

  protected override readonly goesOnWhileHeld = true;

  protected override instanceHeld(): void {
    // Leases stay, and so must their signs of life.
  }

  protected override request(rewritten: Buffer, found: Findings): void {
    if (!this.active.tenant.keySpace.ownsLeaseTag) {
      this.finish(statuses.noLeases);
      return;
    }
    this.#outstanding.push({ rewritten, unknown: unknownLeaseOf(found) });
    if (this.#outstanding.length >= MAX_OUTSTANDING) {
      this.#isFull = true;
      this.inbound.pause();
    }
    this.write(rewritten);
  }

  protected override response(stripped: Buffer): void {
    const unknown = this.#outstanding.shift()?.unknown;
    if (this.#isFull && this.#outstanding.length < MAX_OUTSTANDING / 2) {
      this.#isFull = false;
      this.inbound.resume();
    }
    const answer = answers.decode(stripped);
    if (unknown !== undefined) {
      this.tell(Buffer.from(answers.encode({ ...answer, ID: idOf(unknown) })));
      return;
    }
    const ttlSeconds = Number(answer.TTL);
    if (ttlSeconds > 0) {
      this.active.leases.keptAlive(Number(answer.ID), ttlSeconds, performance.now());
    } else {
      this.active.leases.revoked(Number(answer.ID));
    }
    this.tell(stripped);
  }

  protected override reopen(): void {
    for (const { rewritten } of this.#outstanding) {
      this.write(rewritten);
    }
  }
}
