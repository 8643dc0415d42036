import { ConnectionError, ErrorCode } from './errors.js';

/**
 * The receive window of a connection. Credit is given back as data comes in, whether its stream is paused or not, so
 * that one slow reader does not stop the others; its own stream's window stops it. Only when all that is held exceeds a
 * bound does the connection wait.
 */
export class ReceiveCredit {
  readonly #send: (bytes: number) => void;
  readonly #creditFrom: number;
  readonly #maxHeld: number;
  #window: number;
  #uncredited = 0;
  #held = 0;

  /**
   * @param window in bytes; the peer has been told of it
   * @param maxHeld how many bytes all streams together may hold before the connection waits
   * @param send sends a WINDOW_UPDATE for the connection
   */
  constructor(window: number, maxHeld: number, send: (bytes: number) => void) {
    this.#window = window;
    this.#creditFrom = window / 4;
    this.#maxHeld = maxHeld;
    this.#send = send;
  }

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
    if (this.#uncredited >= this.#creditFrom && this.#held <= this.#maxHeld) {
      this.#send(this.#uncredited);
      this.#window += this.#uncredited;
      this.#uncredited = 0;
    }
  }
}
