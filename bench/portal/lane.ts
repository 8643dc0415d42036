import type { CallEnd, CallHandlers, Connection } from '../../src/etcd/transport/connection.js';

/** Encoded requests of one call, sent in turn. */
export interface LaneRequests {
  readonly path: string;
  readonly messages: readonly Buffer[];
}

/** One call after the other. Without promises and closures: the load is not to cost what is to be measured. */
export class Lane implements CallHandlers {
  #next: number;
  #sentAt = 0;
  #resolve!: () => void;
  #reject!: (error: Error) => void;

  /**
   * @param first with which of the requests it begins
   * @param end on the clock of `performance.now()`
   * @param times where the time of each call is noted, in milliseconds
   */
  constructor(
    readonly connection: Connection,
    readonly requests: LaneRequests,
    readonly token: string,
    first: number,
    readonly end: { readonly untilMs: number; readonly deadline: number },
    readonly times: number[],
  ) {
    this.#next = first % requests.messages.length;
  }

  /** @throws Error when a call fails */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#send(performance.now());
    });
  }

  onMessage(): void {}

  onEnd({ code, message }: CallEnd): void {
    if (code !== 0) {
      this.#reject(new Error(`A call failed with ${code}: ${message}`));
      return;
    }
    const now = performance.now();
    this.times.push(now - this.#sentAt);
    if (now < this.end.untilMs) {
      this.#send(now);
    } else {
      this.#resolve();
    }
  }

  #send(now: number): void {
    const { path, messages } = this.requests;
    const message = messages[this.#next] as Buffer;
    this.#next = (this.#next + 1) % messages.length;
    this.#sentAt = now;
    try {
      this.connection.ask(path, message, this.token, this.end.deadline, this);
    } catch (error) {
      this.#reject(error as Error);
    }
  }
}
