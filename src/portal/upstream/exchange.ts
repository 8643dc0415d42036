import { readyBefore } from '../../etcd/deadline.js';
import type { Place } from '../../etcd/endpoints.js';
import type { SignIn } from '../../etcd/sign-in.js';
import type { Call, CallEnd, CallHandlers } from '../../etcd/transport/call.js';
import { TransportError } from '../../etcd/transport/errors.js';
import { Code, type Status, statuses } from '../calls/status.js';
import { AnswerRoom } from './answer-room.js';
import { isWrongPassword, nextAfter, statusOfLast } from './outcome.js';
import type { Upstream } from './upstream.js';

/** Who is told how an exchange ended: one of the two, once. Neither comes after `cancel`. */
export interface ExchangeOwner {
  answered(answer: Buffer): void;
  /** @param mayBeApplied whether etcd may have done what was asked, or may still do it */
  failed(status: Status, mayBeApplied: boolean): void;
}

const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 200;

/**
 * One message to etcd and its answer, as a tenant's etcd user. It goes to another endpoint, signs in again and repeats
 * as long as that is safe and there is time. No promise is made when everything is at hand.
 */
export class Exchange implements CallHandlers {
  #message!: Uint8Array;
  #endAt = 0;
  #attemptMs = 0;
  #isRead = false;
  #call: Call | undefined;
  #place: Place | undefined;
  #token: string | undefined;
  #answer: Buffer | undefined;
  #attempts = 0;
  #mayBeApplied = false;
  #isOver = false;
  #timer: NodeJS.Timeout | undefined;
  #room: AnswerRoom | undefined;
  /** When the last attempt was sent, on the clock of `performance.now()`. */
  sentAt = 0;

  constructor(
    readonly upstream: Upstream,
    readonly signIn: SignIn,
    readonly path: string,
    readonly owner: ExchangeOwner,
  ) {}

  /** Whether something was sent to etcd whose effect nobody knows yet. */
  get mayBeApplied(): boolean {
    return this.#mayBeApplied || this.#call !== undefined;
  }

  /**
   * @param endAt when there is no more time to send it, on the clock of `performance.now()`
   * @param attemptMs the longest that one attempt may take; infinite for a call that waits for others
   * @param isRead whether it may be sent again although etcd may have carried it out
   */
  start(message: Uint8Array, endAt: number, attemptMs: number, isRead: boolean): void {
    this.#message = message;
    this.#endAt = endAt;
    this.#attemptMs = attemptMs;
    this.#isRead = isRead;
    this.#attempt();
  }

  /** The room of a large answer, for who passes it on; to be asked for in `answered` only, and to be given back. */
  takeRoom(): AnswerRoom | undefined {
    const room = this.#room;
    this.#room = undefined;
    return room;
  }

  cancel(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#room?.give();
    this.#call?.cancel();
    this.#call = undefined;
  }

  admits(bytes: number): boolean {
    this.#room ??= new AnswerRoom(this.upstream.answers, this.signIn);
    return this.#room.admits(bytes, this.#call);
  }

  onMessage(message: Buffer): void {
    this.#answer = message;
  }

  onEnd(end: CallEnd): void {
    const place = this.#place as Place;
    this.#call = undefined;
    const isCrowdedOut = this.#room?.isWaiting && end.delivery === 'unknown';
    if (!isCrowdedOut) {
      this.upstream.judge(place, end);
    }
    if (this.#isOver) {
      return;
    }
    if (end.code === Code.OK) {
      this.#isOver = true;
      if (this.#answer === undefined) {
        this.owner.failed(statuses.fault, true);
      } else {
        this.owner.answered(this.#answer);
      }
      this.#room?.give();
      return;
    }
    this.#room?.give();
    if (isCrowdedOut) {
      this.#mayBeApplied = true;
      this.#fail(statuses.tooManyRequests);
      return;
    }
    this.#ended(end);
  }

  #ended(end: CallEnd): void {
    this.#mayBeApplied ||= end.delivery === 'unknown';
    const next = nextAfter(end, this.#isRead);
    if (next === 'sign in') {
      this.signIn.refused(this.#token);
      this.#repeat(statuses.invalidToken);
    } else if (next === 'repeat') {
      this.#repeat(statusOfLast(end));
    } else {
      this.#fail(next);
    }
  }

  #attempt(): void {
    const { ready } = this.upstream;
    const { known } = this.signIn;
    if (ready !== undefined && known !== undefined) {
      this.#send(ready, known.token);
    } else {
      this.#prepare();
    }
  }

  #prepare(): void {
    const token = readyBefore(this.#endAt, this.signIn.token());
    Promise.all([this.upstream.place(this.#endAt), token]).then(
      ([place, token]) => {
        if (!this.#isOver) {
          this.#send(place, token);
        }
      },
      (error: unknown) => {
        if (!this.#isOver) {
          // Without its user the tenant is being unbound, and the directory will say so in a moment.
          if (isWrongPassword(error)) {
            this.#fail(statuses.invalidToken);
          } else {
            this.#repeat(statuses.notSent);
          }
        }
      },
    );
  }

  #send(place: Place, token: string | undefined): void {
    this.#place = place;
    this.#token = token;
    this.#answer = undefined;
    this.sentAt = performance.now();
    const isLong = this.#attemptMs === Number.POSITIVE_INFINITY;
    const deadline = isLong ? this.#attemptMs : Math.min(this.#endAt, this.sentAt + this.#attemptMs);
    try {
      this.#call = place.connection.ask(this.path, this.#message, token, deadline, this);
    } catch (error) {
      if (!(error instanceof TransportError)) {
        throw error;
      }
      this.#ended(error);
    }
  }

  /** @param otherwise what is told when there is no time left */
  #repeat(otherwise: Status): void {
    this.#attempts += 1;
    const longest = Math.min(FIRST_PAUSE_MS * 2 ** (this.#attempts - 1), LONGEST_PAUSE_MS);
    const pause = longest * (0.5 + Math.random() / 2);
    if (performance.now() + pause >= this.#endAt) {
      this.#fail(otherwise);
      return;
    }
    this.#timer = setTimeout(() => this.#attempt(), pause);
  }

  #fail(status: Status): void {
    this.#isOver = true;
    this.owner.failed(status, this.#mayBeApplied);
  }
}
