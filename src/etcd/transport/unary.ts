import type { CallEnd, CallHandlers } from './call.js';
import { Status, TransportError } from './errors.js';

/** Turns one call into a promise of its one answer. */
export class UnaryHandlers implements CallHandlers {
  readonly #resolve: (message: Buffer) => void;
  readonly #reject: (error: Error) => void;
  #message: Buffer | undefined;
  #messages = 0;
  /** Called at the end, where it is set. */
  onSettled: (() => void) | undefined;

  constructor(resolve: (message: Buffer) => void, reject: (error: Error) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onMessage(message: Buffer): void {
    this.#message ??= message;
    this.#messages++;
  }

  onEnd(end: CallEnd): void {
    this.onSettled?.();
    if (end.code !== Status.OK) {
      this.#reject(new TransportError(end.code, end.message, end.delivery));
    } else if (this.#message === undefined || this.#messages > 1) {
      const text = `${this.#messages} messages where one was expected`;
      this.#reject(new TransportError(Status.INTERNAL, text, 'unknown'));
    } else {
      this.#resolve(this.#message);
    }
  }
}
