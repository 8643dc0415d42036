import { ConnectionError, ErrorCode } from './errors.js';
import { DEFAULT_WINDOW } from './frames.js';

/** Our receive window for a whole connection. */
export const CONNECTION_WINDOW = 16 * 1024 * 1024;
const CREDIT_FROM_BYTES = CONNECTION_WINDOW / 4;
/** How much the paused streams of a connection may hold together before the connection stops too. */
const MAX_HELD_BYTES = 64 * 1024 * 1024;

/**
 * The receive window of a connection. Credit is given back as data comes in, whether its stream is paused or not, so
 * that one slow reader does not stop the others; its own stream's window stops it. Only when all that is held exceeds a
 * bound does the connection wait.
 */
export class ReceiveCredit {
  readonly #send: (bytes: number) => void;
  #window = CONNECTION_WINDOW;
  #uncredited = 0;
  #held = 0;

  /** @param send sends a WINDOW_UPDATE for the connection */
  constructor(send: (bytes: number) => void) {
    this.#send = send;
  }

  /** What has to be added to the protocol's default at the start. */
  static readonly initial = CONNECTION_WINDOW - DEFAULT_WINDOW;

  /** @throws ConnectionError when the peer ignores the window */
  received(bytes: number): void {
    this.#window -= bytes;
    if (this.#window < 0) {
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window");
    }
    this.#uncredited += bytes;
    this.#credit();
  }

  /** @param bytes how much more, or less, is held */
  held(bytes: number): void {
    this.#held += bytes;
    if (bytes < 0) {
      this.#credit();
    }
  }

  #credit(): void {
    if (this.#uncredited >= CREDIT_FROM_BYTES && this.#held <= MAX_HELD_BYTES) {
      this.#send(this.#uncredited);
      this.#window += this.#uncredited;
      this.#uncredited = 0;
    }
  }
}
