import type { Call } from '../../etcd/transport/call.js';
import type { AnswerBudget, LargeAnswer } from '../limits/answer-budget.js';

/** A client that has not read a large answer after so many milliseconds keeps nobody waiting any more. */
const LONGEST_READ_MS = 1_000;

/** The room that one call takes of the budget, for one large answer at a time. */
export class AnswerRoom implements LargeAnswer {
  #state: 'none' | 'waiting' | 'taken' = 'none';
  #call: Call | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param owner the tenant's etcd user */
  constructor(
    readonly budget: AnswerBudget,
    readonly owner: object,
  ) {}

  get isWaiting(): boolean {
    return this.#state === 'waiting';
  }

  /** @param call is resumed when there is room, where there is none now */
  admits(bytes: number, call: Call | undefined): boolean {
    this.#call = call;
    if (this.#state === 'none') {
      this.#state = this.budget.take(this, bytes) ? 'taken' : 'waiting';
    }
    return this.#state === 'taken';
  }

  onRoom(): void {
    this.#state = 'taken';
    this.#call?.resume();
  }

  /** The answer has been passed on to the client, which may take its time to read it. */
  giveSoon(): void {
    if (this.#state === 'taken') {
      this.#timer ??= setTimeout(() => this.give(), LONGEST_READ_MS);
    }
  }

  /** The answer is gone, or is not wanted any more. */
  give(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#state !== 'none') {
      this.#state = 'none';
      this.budget.give(this);
    }
  }
}
