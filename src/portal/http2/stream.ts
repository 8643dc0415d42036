import type { SendingStream } from '../../http2/data-sender.js';
import { ConnectionError, ErrorCode, errorName } from '../../http2/errors.js';
import type { RequestHead } from './request-head.js';
import type { StreamHandlers, StreamHost } from './stream-host.js';

const NOTHING: Uint8Array[] = [];
const NO_HELD: Buffer[] = [];

/** One request and its answer. */
export class ServerStream implements SendingStream {
  readonly id: number;
  readonly head: RequestHead;
  readonly host: StreamHost<ServerStream>;
  handlers: StreamHandlers | undefined;
  sendWindow: number;
  queue: Uint8Array[] = NOTHING;
  queuedBytes = 0;
  /** The answer ends with the last DATA frame of what waits. */
  ending = false;
  endSent = false;
  /** The peer has sent all of the request. */
  remoteEnded = false;
  /** The answer was ended, or the stream was reset: nobody is told anything any more. */
  finished = false;
  paused = false;
  /** How long nothing of what waits was sent, while the connection has too much. */
  stalledMs = 0;
  /** Of the peer: how much it may still send. */
  receiveWindow: number;
  #wantedWindow = 0;
  #trailers: Buffer | undefined;
  #headersSent = false;
  #needsDrain = false;
  #delivering = false;
  #endDelivered = false;
  #held = NO_HELD;
  #charged = 0;
  #onReleased: (() => void) | undefined;

  constructor(
    host: StreamHost<ServerStream>,
    id: number,
    head: RequestHead,
    sendWindow: number,
    receiveWindow: number,
  ) {
    this.host = host;
    this.id = id;
    this.head = head;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  get headersSent(): boolean {
    return this.#headersSent;
  }

  /** Sends the head of the answer; `endStream` where there is nothing else. */
  respond(block: Buffer, endStream = false): void {
    if (!this.finished && !this.#headersSent) {
      this.#headersSent = true;
      this.host.sendHeaders(this, block, endStream);
      if (endStream) {
        this.ended();
      }
    }
  }

  /** Sends data, which must not be changed afterwards. False when more waits than is good: go on after `onDrain`. */
  send(prefix: Uint8Array | undefined, data: Uint8Array): boolean {
    if (this.finished || this.#trailers !== undefined || this.ending) {
      return false;
    }
    this.host.sendData(this, prefix, data);
    this.#needsDrain = this.queuedBytes > this.host.highWaterBytes;
    return !this.#needsDrain;
  }

  /** @param onReleased is called once, when the answer has been written or the stream is gone */
  whenReleased(onReleased: (() => void) | undefined): void {
    if (this.finished) {
      onReleased?.();
    } else {
      this.#onReleased = onReleased;
    }
  }

  /** A whole answer at once. */
  answer(head: Buffer, prefix: Uint8Array, data: Uint8Array, trailers: Buffer): void {
    if (!this.finished && !this.#headersSent) {
      this.#headersSent = true;
      this.host.sendAnswer(this, head, prefix, data, trailers);
    }
  }

  /** Ends the answer after what waits, with trailers where they are given. */
  end(trailers?: Buffer): void {
    if (this.finished || this.#trailers !== undefined || this.ending) {
      return;
    }
    if (this.queuedBytes > 0) {
      this.#trailers = trailers;
      this.ending = trailers === undefined;
      return;
    }
    if (trailers === undefined) {
      this.host.sendEnd(this);
    } else {
      this.host.sendHeaders(this, trailers, true);
    }
    this.ended();
  }

  /** Resets the stream. Its handlers hear nothing more. */
  reset(code: number): void {
    if (!this.finished) {
      this.host.sendReset(this, code);
      this.#release();
      this.host.closed(this, true);
    }
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    if (this.#delivering) {
      return; // called by a handler: who called that one goes on
    }
    while (this.#held.length > 0 && !this.paused && !this.finished) {
      const chunk = this.#held.shift() as Buffer;
      this.charge(-chunk.length);
      this.#deliver(chunk);
    }
    this.deliverEnd();
  }

  /** Lets the peer send so many bytes more, if it can't yet. */
  ensureWindow(bytes: number): void {
    this.#wantedWindow = bytes;
    if (this.receiveWindow < bytes && !this.remoteEnded && !this.finished) {
      this.host.sendCredit(this, bytes - this.receiveWindow);
      this.receiveWindow = bytes;
    }
  }

  /** Nothing of a request is held: opens the window again when much of it is used up. */
  replenish(): void {
    if (this.receiveWindow <= this.host.streamWindow / 2) {
      this.ensureWindow(this.host.streamWindow);
    }
  }

  /** Memory for an unfinished request, more or less; false where the connection had to end for it. */
  charge(bytes: number): boolean {
    if (this.finished || !this.host.hold(bytes)) {
      return false;
    }
    this.#charged += bytes;
    return true;
  }

  /** The peer takes our settings: what it may send becomes less. */
  narrow(bytes: number): void {
    this.receiveWindow -= bytes;
    this.ensureWindow(this.#wantedWindow);
  }

  /** @throws ConnectionError when the peer ignores the window */
  onData(data: Buffer, endStream: boolean, flowBytes: number): void {
    this.receiveWindow -= flowBytes;
    if (this.receiveWindow < 0) {
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "more data than the stream's window");
    }
    this.remoteEnded = endStream;
    if (this.finished) {
      return;
    }
    this.#wantedWindow -= data.length;
    if (flowBytes > data.length && !endStream) {
      this.host.sendCredit(this, flowBytes - data.length); // padding
      this.receiveWindow += flowBytes - data.length;
    }
    if (this.paused || this.#held.length > 0) {
      this.#hold(data, false);
    } else if (data.length > 0) {
      this.#deliver(data);
    }
    if (endStream) {
      this.deliverEnd();
    }
  }

  onRemoteEnd(): void {
    this.remoteEnded = true;
    this.deliverEnd();
  }

  /** The peer reset the stream, or the connection is gone. */
  abort(reason: string): void {
    const { handlers } = this;
    this.#release();
    this.host.closed(this, true);
    handlers?.onAbort(reason);
  }

  onReset(code: number): void {
    this.abort(`the peer reset the stream: ${errorName(code)}`);
  }

  onSent(bytes: number): void {
    this.stalledMs = 0;
    this.host.sent(bytes);
    if (this.queuedBytes > 0) {
      return;
    }
    if (this.endSent) {
      this.ended();
    } else if (this.#trailers !== undefined) {
      this.host.sendHeaders(this, this.#trailers, true);
      this.ended();
    } else if (this.#needsDrain) {
      this.#needsDrain = false;
      this.handlers?.onDrain?.();
    }
  }

  /** END_STREAM is on its way. */
  ended(): void {
    this.#release();
    this.host.closed(this, this.remoteEnded);
  }

  #deliver(data: Buffer): void {
    this.#delivering = true;
    const taken = this.handlers?.onData(data) ?? 0;
    this.#delivering = false;
    if (taken < data.length && !this.finished) {
      this.#hold(data.subarray(taken), true);
    }
  }

  /** Tells the handlers of the request's end, where it has come and nothing waits before it. */
  deliverEnd(): void {
    if (
      this.remoteEnded &&
      !this.finished &&
      !this.paused &&
      this.#held.length === 0 &&
      !this.#endDelivered &&
      this.handlers
    ) {
      this.#endDelivered = true;
      this.handlers.onEnd();
    }
  }

  /** A copy: a small piece must not keep all that was read with it. */
  #hold(data: Buffer, first: boolean): void {
    if (data.length > 0 && this.charge(data.length)) {
      this.#held = this.#held === NO_HELD ? [] : this.#held;
      this.#held[first ? 'unshift' : 'push'](Buffer.from(data));
    }
  }

  #release(): void {
    this.finished = true;
    if (this.queuedBytes > 0) {
      this.host.sent(this.queuedBytes);
      this.queuedBytes = 0;
    }
    this.queue = NOTHING;
    if (this.#charged > 0) {
      this.host.hold(-this.#charged);
      this.#charged = 0;
    }
    this.#held = NO_HELD;
    this.handlers = undefined;
    this.#onReleased?.();
    this.#onReleased = undefined;
  }
}
