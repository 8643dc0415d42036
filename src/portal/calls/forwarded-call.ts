import { ATTEMPT_TIMEOUT_MS, CALL_TIMEOUT_MS } from '../../etcd/client.js';
import type { Job, Waiting } from '../limits/fairness.js';
import { tooManyRequests } from '../limits/refusals.js';
import { Findings } from '../rewriter/findings.js';
import { Leak, refusals } from '../rewriter/refusal.js';
import { rewriteRequest } from '../rewriter/requests.js';
import { stripResponse } from '../rewriter/responses.js';
import type { AllowedCall } from '../table/lookup.js';
import { headerRevision } from '../upstream/answers.js';
import { Exchange, type ExchangeOwner } from '../upstream/exchange.js';
import type { ActiveTenant, Held } from './active-tenant.js';
import { denialOf, statusOfRefusal } from './admission.js';
import type { InboundCall, InboundHandlers } from './inbound.js';
import { chooseLease, namingLease, takesNewLease, type UnknownLease, unknownLeaseOf } from './leases.js';
import { type ForwardingParts, MAX_REQUEST_BYTES } from './parts.js';
import { RequestHold } from './request-hold.js';
import { answerTooLarge, Code, MAX_ANSWER_BYTES, type Status, statuses } from './status.js';

const found = new Findings();
/** Requests up to this size tell how long etcd takes; larger ones take longer for their size. */
const SMALL_BYTES = 4_096;
/** A request of so many bytes costs as much as one more request, for fairness. */
const COST_BYTES = 16_384;
const MAX_COST = 64;
/** So many ids are tried for a new lease. One of 2^32 is taken by chance about never, unless most of them are. */
const MAX_CHOICES = 4;

/**
 * One call of one message each way, from the tenant to etcd and back. It is made without promises and closures, since
 * this is what nearly all of a portal's time goes into.
 */
export class ForwardedCall implements InboundHandlers, ExchangeOwner, Job, Held {
  cost = 1;
  protected message: Buffer | undefined;
  protected rewritten: Buffer | undefined;
  protected readonly exchange: Exchange;
  readonly #hold: RequestHold;
  #startedAt = 0;
  protected endAt = 0;
  #isOver = false;
  #isStarted = false;
  /** Set while the instance is held. */
  #heldBack: NodeJS.Timeout | undefined;
  #waiting: Waiting | undefined;
  #isRead = false;
  #choices = 0;
  #choseLease = false;
  #unknownLease: UnknownLease | undefined;

  constructor(
    protected readonly parts: ForwardingParts,
    protected readonly active: ActiveTenant,
    protected readonly call: AllowedCall,
    protected readonly inbound: InboundCall,
  ) {
    this.exchange = new Exchange(parts.upstream, active.signIn, call.path, this);
    this.#hold = new RequestHold(active, this);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  onMessage(message: Buffer): void {
    if (this.message !== undefined) {
      this.finish(statuses.oneMessage);
    } else if (message.length > MAX_REQUEST_BYTES) {
      this.finish(refusals.tooLarge);
    } else {
      this.message = message;
      this.active.tally.counts.received += message.length;
    }
  }

  onHalfClose(): void {
    if (this.#isOver) {
      return;
    }
    this.#startedAt = performance.now();
    this.endAt = this.#startedAt + Math.min(this.inbound.timeoutMs ?? CALL_TIMEOUT_MS, CALL_TIMEOUT_MS);
    const refused = this.message === undefined ? statuses.oneMessage : this.admit(this.message);
    if (refused !== undefined) {
      this.finish(refused);
    } else if (this.active.isHeld) {
      this.#heldBack = setTimeout(() => this.finish(statuses.notSent), this.endAt - performance.now());
    } else {
      this.launch();
    }
  }

  settingsChanged(): void {
    if (this.#heldBack !== undefined && !this.active.isHeld) {
      clearTimeout(this.#heldBack);
      this.#heldBack = undefined;
      this.launch();
    }
  }

  onCancel(): void {
    if (!this.#isOver) {
      this.#release(Code.CANCELLED);
      this.exchange.cancel();
    }
  }

  onDrain(): void {}

  /** The client's time is over. */
  protected expired(): void {
    this.#stop(statuses.deadlineExceeded);
  }

  tenantGone(status: Status): void {
    this.#stop(status);
  }

  /** Its turn has come. */
  start(): void {
    this.#isStarted = true;
    if (this.#isOver) {
      this.#leaveScheduler();
    } else {
      this.send();
    }
  }

  answered(answer: Buffer): void {
    const { upstream } = this.parts;
    if (this.#hold.changes) {
      const revision = headerRevision(answer);
      upstream.saw(revision);
      this.#hold.settle(revision);
    }
    if (this.#isStarted && this.cost === 1 && answer.length <= SMALL_BYTES) {
      const ms = performance.now() - this.exchange.sentAt;
      this.parts.adaptive.observe(this.#isRead ? 'read' : 'write', ms);
    }
    let stripped: Buffer;
    try {
      stripped = stripResponse(this.call.response, answer, this.active.scope);
      if (this.#unknownLease !== undefined && this.call.name === 'LeaseTimeToLive') {
        stripped = namingLease(stripped, this.#unknownLease);
      }
    } catch (error) {
      if (!(error instanceof Leak)) {
        throw error;
      }
      const { username } = this.active.tenant;
      this.parts.log.error(
        { call: this.call.name, username, reason: error.message },
        'An answer of etcd was held back',
      );
      this.finish(statuses.fault);
      return;
    }
    if (stripped.length > MAX_ANSWER_BYTES) {
      this.finish(answerTooLarge(stripped.length));
      return;
    }
    this.done(stripped);
    this.active.tally.counts.sent += stripped.length;
    this.#release(Code.OK);
    const room = this.exchange.takeRoom();
    room?.giveSoon();
    this.inbound.answer(stripped, room && (() => room.give()));
  }

  failed(status: Status, mayBeApplied: boolean): void {
    const isTaken = this.#choseLease && status.message.includes('lease already exists');
    if (isTaken && !mayBeApplied && this.#choices < MAX_CHOICES) {
      const refused = this.#rewrite(this.message as Buffer);
      if (refused === undefined) {
        this.send();
        return;
      }
    }
    // With NOSPACE raised, etcd may apply a transaction that it answers with the error.
    const mayBeStored = mayBeApplied || status.code === Code.RESOURCE_EXHAUSTED;
    this.#hold.settle(mayBeStored ? this.parts.upstream.latestRevision : undefined);
    this.finish(status);
  }

  #stop(status: Status): void {
    if (!this.#isOver) {
      this.finish(status);
      this.exchange.cancel();
    }
  }

  /** Puts the call in the queue of its tenant. */
  protected launch(): void {
    const place = this.parts.scheduler.submit(this.active.flow, this);
    if (place === 'refused') {
      this.finish(this.active.refuse(tooManyRequests('waiting')));
    } else if (place !== 'started') {
      this.#waiting = place;
    }
  }

  protected send(): void {
    this.exchange.start(this.rewritten as Buffer, this.endAt, ATTEMPT_TIMEOUT_MS, this.#isRead);
  }

  protected finish(status: Status): void {
    if (!this.#isOver) {
      this.#release(status.code);
      this.inbound.end(status.code, status.message);
    }
  }

  /** @returns why it is not sent */
  protected admit(message: Buffer): Status | undefined {
    const { tenant } = this.active;
    const refused = this.#hold.enter(message.length) ?? this.#rewrite(message);
    if (refused !== undefined) {
      return refused;
    }
    const floor = found.lowestRevision > 0 ? this.parts.floors.of(tenant.keySpace.prefix) : 0;
    const denied = denialOf(tenant, this.call, found, floor);
    if (denied !== undefined) {
      return denied;
    }
    this.#isRead = this.call.writes === 'no' || (this.call.writes === 'by content' && !found.writes);
    this.cost = Math.min(MAX_COST, 1 + Math.floor(message.length / COST_BYTES));
    return this.#hold.store(found, this.parts.guard);
  }

  #rewrite(message: Buffer): Status | undefined {
    this.#choices += 1;
    try {
      const { call, active } = this;
      const lease = takesNewLease(call) ? chooseLease() : 0;
      this.rewritten = rewriteRequest(call.request, message, active.scope, found, lease);
    } catch (error) {
      return statusOfRefusal(error);
    }
    this.#choseLease = found.tookNewLease;
    this.#unknownLease = unknownLeaseOf(found);
    this.rewrittenFor(found);
    if (!this.#choseLease) {
      // It may be a small part of a large buffer, and is not needed again.
      this.message = undefined;
    }
    return undefined;
  }

  /** Before a good answer is passed on. */
  protected done(_stripped: Buffer): void {}

  /** Once, when the call is over, however it ended. */
  protected over(): void {}

  /** Told of what each rewriting found. */
  protected rewrittenFor(_found: Findings): void {}

  /** Gives back everything that it holds. */
  #release(code: number): void {
    this.#isOver = true;
    clearTimeout(this.#heldBack);
    if (this.#waiting !== undefined && !this.#isStarted) {
      this.parts.scheduler.cancel(this.active.flow, this.#waiting);
    }
    if (this.#hold.changes) {
      this.#hold.settle(this.exchange.mayBeApplied ? this.parts.upstream.latestRevision : undefined);
    }
    this.#hold.leave();
    this.message = undefined;
    this.rewritten = undefined;
    this.over();
    const startedAt = this.#startedAt;
    const seconds = startedAt === 0 ? 0 : (performance.now() - startedAt) / 1_000;
    this.active.tally.ended(this.call.name, code, seconds);
    this.parts.observe(this.call.name, code, seconds);
    if (this.#isStarted) {
      this.#leaveScheduler();
    }
  }

  #leaveScheduler(): void {
    this.#isStarted = false;
    this.parts.scheduler.finish(this.active.flow);
  }
}
