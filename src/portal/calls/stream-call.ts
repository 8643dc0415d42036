import { ATTEMPT_TIMEOUT_MS } from '../../etcd/client.js';
import { readyBefore } from '../../etcd/deadline.js';
import type { Place } from '../../etcd/endpoints.js';
import type { Call, CallEnd, CallHandlers } from '../../etcd/transport/call.js';
import { TransportError } from '../../etcd/transport/errors.js';
import { Findings } from '../rewriter/findings.js';
import { Leak, refusals } from '../rewriter/refusal.js';
import { rewriteRequest } from '../rewriter/requests.js';
import { stripResponse } from '../rewriter/responses.js';
import type { AllowedCall } from '../table/lookup.js';
import { AnswerRoom } from '../upstream/answer-room.js';
import { isWrongPassword, nextAfter, statusOfLast } from '../upstream/outcome.js';
import type { ActiveTenant, Held } from './active-tenant.js';
import { denialOf, statusOfRefusal } from './admission.js';
import type { InboundCall, InboundHandlers } from './inbound.js';
import { type ForwardingParts, MAX_REQUEST_BYTES } from './parts.js';
import { Code, type Status, statuses } from './status.js';

/** One at a time for all streams: whoever rewrites reads it before anything else happens. */
const found = new Findings();

/**
 * A stream from the tenant to etcd and back: one stream of etcd's for each of the tenant's, as the tenant's own user.
 * Whoever reads slowly makes the other side wait, with at most a window of HTTP/2 between them.
 */
export abstract class StreamCall implements InboundHandlers, Held {
  #call: Call | undefined;
  #token: string | undefined;
  /** What waits for the stream to be opened. The client is paused meanwhile. */
  #waiting: Buffer[] = [];
  #room: AnswerRoom | undefined;
  #isOpening = false;
  #isOver = false;
  #isHalfClosed = false;
  #hasSignedInAgain = false;
  readonly #startedAt = performance.now();
  /** Whether etcd has sent something: from then on a stream can't be opened again unseen. */
  protected hasAnswered = false;
  /** Whether it reads and writes no keys. */
  protected readonly goesOnWhileHeld: boolean = false;

  constructor(
    protected readonly parts: ForwardingParts,
    protected readonly active: ActiveTenant,
    protected readonly call: AllowedCall,
    protected readonly inbound: InboundCall,
  ) {}

  /** @returns why it can't begin; then nothing is held and nobody is told of its end */
  begin(): Status | undefined {
    const { gauges, held, tenant } = this.active;
    if (this.parts.isDraining()) {
      return statuses.stopped; // it was on its way when the others were ended
    }
    // Findings play no part here: it is the call itself that writes.
    found.reset();
    const denied = denialOf(tenant, this.call, found, 0);
    if (denied !== undefined) {
      return denied;
    }
    if (this.active.isHeld && !this.goesOnWhileHeld) {
      return statuses.notSent;
    }
    const tooMany = gauges.acquire('streams');
    if (tooMany !== undefined) {
      return this.active.refuse(tooMany);
    }
    held.add(this);
    return undefined;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  onMessage(message: Buffer): void {
    if (this.#isOver) {
      return;
    }
    if (message.length > MAX_REQUEST_BYTES) {
      this.finish(refusals.tooLarge);
      return;
    }
    this.active.tally.counts.received += message.length;
    let rewritten: Buffer;
    try {
      rewritten = rewriteRequest(this.call.request, message, this.active.scope, found);
    } catch (error) {
      this.finish(statusOfRefusal(error));
      return;
    }
    this.request(rewritten, found);
  }

  onHalfClose(): void {
    this.#isHalfClosed = true;
    if (this.#call !== undefined) {
      this.#call.end();
    } else if (!this.#isOpening) {
      this.finish(statuses.ok);
    }
  }

  onCancel(): void {
    this.#end(Code.CANCELLED);
  }

  onDrain(): void {
    this.#room?.give();
    this.#call?.resume();
  }

  settingsChanged(): void {
    if (this.active.isHeld && !this.#isOver) {
      this.instanceHeld();
    }
  }

  /** The instance is held from now on. Clients open the stream again when they can. */
  protected instanceHeld(): void {
    this.finish(statuses.notSent);
  }

  tenantGone(status: Status): void {
    this.finish(status);
  }

  /** Clients take this as etcd's own stop: they open the stream at another endpoint and go on where they were. */
  draining(): void {
    this.finish(statuses.stopped);
  }

  /** A request of the tenant's, rewritten. */
  protected abstract request(rewritten: Buffer, found: Findings): void;

  /** An answer of etcd's, stripped; to be passed on with {@link tell}. */
  protected abstract response(stripped: Buffer): void;

  /** etcd has ended the stream. */
  protected ended(end: CallEnd): void {
    const next = end.code === Code.OK ? end : nextAfter(end, false);
    if (next === 'sign in') {
      this.renewToken();
      if (!this.hasAnswered && !this.#hasSignedInAgain) {
        this.#hasSignedInAgain = true;
        this.reopen();
        return;
      }
    }
    this.finish(typeof next === 'string' ? statusOfLast(end) : next);
  }

  /** Opens the stream anew; `reopen` of a subclass sends again what has to be sent. */
  protected abstract reopen(): void;

  /** Sends to etcd; opens the stream first where there is none. */
  protected write(message: Buffer): void {
    if (this.#call !== undefined) {
      if (!this.#call.write(message)) {
        this.inbound.pause();
      }
      return;
    }
    this.#waiting.push(message);
    if (!this.#isOpening) {
      this.#open();
    }
  }

  /** Passes a message to the tenant. */
  protected tell(message: Buffer): void {
    if (!this.#isOver) {
      this.active.tally.counts.sent += message.length;
      if (this.inbound.sendMessage(message)) {
        this.#room?.give();
      } else {
        this.#call?.pause();
      }
    }
  }

  protected finish(status: Status): void {
    if (!this.#isOver) {
      this.#end(status.code);
      this.inbound.end(status.code, status.message);
    }
  }

  /** The token that this stream was opened with is not good any more. */
  protected renewToken(): void {
    this.active.signIn.refused(this.#token);
  }

  /** Lets go of etcd's stream, so that the next `write` opens another. */
  protected dropUpstream(): void {
    const call = this.#call;
    this.#call = undefined;
    this.#room?.give();
    call?.cancel();
  }

  /** What a subclass holds is given back. Called once. */
  protected release(): void {}

  #open(): void {
    this.#isOpening = true;
    const endAt = performance.now() + ATTEMPT_TIMEOUT_MS;
    const { upstream } = this.parts;
    const { ready } = upstream;
    const { known } = this.active.signIn;
    if (ready !== undefined && known !== undefined) {
      this.#start(ready, known.token);
      return;
    }
    this.inbound.pause();
    const token = readyBefore(endAt, this.active.signIn.token());
    Promise.all([upstream.place(endAt), token]).then(
      ([place, token]) => {
        if (!this.#isOver) {
          this.inbound.resume();
          this.#start(place, token);
        }
      },
      (error: unknown) => this.finish(isWrongPassword(error) ? statuses.invalidToken : statuses.notSent),
    );
  }

  #start(place: Place, token: string | undefined): void {
    this.#isOpening = false;
    this.#token = token;
    const handlers: CallHandlers = {
      admits: (bytes) => {
        this.#room ??= new AnswerRoom(this.parts.upstream.answers, this.active.signIn);
        return this.#room.admits(bytes, this.#call);
      },
      onMessage: (message) => this.#answered(message),
      onEnd: (end) => {
        // One that was let go of is nobody's business.
        if (this.#call === call && !this.#isOver) {
          this.#call = undefined;
          this.#room?.give();
          this.parts.upstream.judge(place, end);
          this.ended(end);
        }
      },
      onDrain: () => this.inbound.resume(),
    };
    let call: Call;
    try {
      call = place.connection.call(this.call.path, token, handlers);
    } catch (error) {
      if (!(error instanceof TransportError)) {
        throw error;
      }
      this.finish(statuses.notSent);
      return;
    }
    this.#call = call;
    for (const message of this.#waiting.splice(0)) {
      this.write(message);
    }
    if (this.#isHalfClosed) {
      this.#call?.end();
    }
  }

  #answered(message: Buffer): void {
    if (this.#isOver) {
      return;
    }
    let stripped: Buffer;
    try {
      stripped = stripResponse(this.call.response, message, this.active.scope);
    } catch (error) {
      if (!(error instanceof Leak)) {
        throw error;
      }
      const { username } = this.active.tenant;
      const detail = { call: this.call.name, username, reason: error.message };
      this.parts.log.error(detail, 'An answer of etcd was held back');
      this.finish(statuses.fault);
      return;
    }
    this.hasAnswered = true;
    this.#room?.giveSoon();
    this.response(stripped);
  }

  #end(code: number): void {
    if (this.#isOver) {
      return;
    }
    this.#isOver = true;
    this.#waiting = [];
    this.dropUpstream();
    this.release();
    this.active.held.delete(this);
    this.active.gauges.release('streams');
    this.active.tally.ended(this.call.name, code, undefined);
    this.parts.observe(this.call.name, code, (performance.now() - this.#startedAt) / 1_000);
  }
}
