import { Status } from '../../etcd/transport/errors.js';
import { MESSAGE_PREFIX_BYTES } from '../../etcd/transport/grpc.js';
import type { ServerStream } from '../http2/stream.js';

/** Why the messages of a request can't be read; the call ends with it. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  /** gRPC's status code. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Where messages go. No further one is delivered while `paused` is true. */
export interface MessageSink {
  readonly paused: boolean;
  onMessage(message: Buffer): void;
}

/**
 * Takes gRPC's messages out of a request. One that lies within one chunk is a part of that chunk. For one that spans
 * several, memory is taken as it is announced: of the stream's own window where it fits, else of what the connection
 * has for large requests, and the client can't send more of it before.
 */
export class RequestMessages {
  readonly #stream: ServerStream;
  readonly #sink: MessageSink;
  readonly #maxBytes: number;
  readonly #prefix = [0, 0, 0, 0, 0];
  #prefixFilled = 0;
  #message: Buffer | undefined;
  #length = 0;
  #filled = 0;

  constructor(stream: ServerStream, sink: MessageSink, maxBytes: number) {
    this.#stream = stream;
    this.#sink = sink;
    this.#maxBytes = maxBytes;
  }

  /** Whether the bytes so far end in the middle of a message. */
  get incomplete(): boolean {
    return this.#prefixFilled > 0;
  }

  /** Returns how many bytes it took: all, unless the sink was paused meanwhile. @throws RequestError */
  read(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length && !this.#sink.paused) {
      if (this.#prefixFilled === 0 && chunk.length - at >= MESSAGE_PREFIX_BYTES) {
        const start = at + MESSAGE_PREFIX_BYTES;
        const end = start + this.#lengthOf(chunk[at] as number, chunk.readUInt32BE(at + 1));
        if (end <= chunk.length) {
          at = end;
          this.#sink.onMessage(chunk.subarray(start, end));
          continue;
        }
      }
      at += this.#message === undefined ? this.#readPrefix(chunk, at) : this.#readMessage(chunk, at);
    }
    if (!this.incomplete) {
      this.#stream.replenish();
    }
    return at;
  }

  #readPrefix(chunk: Buffer, start: number): number {
    let at = start;
    if (this.#prefixFilled === 0) {
      this.#stream.host.unfinished(this.#stream, true);
    }
    while (this.#prefixFilled < MESSAGE_PREFIX_BYTES && at < chunk.length) {
      this.#prefix[this.#prefixFilled++] = chunk[at++] as number;
    }
    if (this.#prefixFilled === MESSAGE_PREFIX_BYTES) {
      const [compressed, a, b, c, d] = this.#prefix as [number, number, number, number, number];
      this.#begin(this.#lengthOf(compressed, ((a << 24) | (b << 16) | (c << 8) | d) >>> 0));
    }
    return at - start;
  }

  #begin(length: number): void {
    const stream = this.#stream;
    const { host } = stream;
    this.#length = length;
    this.#filled = 0;
    if (!this.#allocate(Math.min(length, host.streamWindow))) {
      return;
    }
    if (length === 0) {
      this.#deliver();
    } else if (length <= host.streamWindow) {
      stream.ensureWindow(length);
    } else {
      host.unfinished(stream, false); // the time runs from when there is memory for it
      host.reserve(stream, length, () => {
        host.unfinished(stream, true);
        if (this.#allocate(length)) {
          stream.ensureWindow(length - this.#filled);
        }
      });
    }
  }

  /** False where the connection has ended for it. */
  #allocate(bytes: number): boolean {
    const before = this.#message;
    if (!this.#stream.charge(bytes - (before?.length ?? 0))) {
      return false;
    }
    this.#message = Buffer.allocUnsafeSlow(bytes);
    before?.copy(this.#message, 0, 0, this.#filled);
    return true;
  }

  #readMessage(chunk: Buffer, at: number): number {
    const message = this.#message as Buffer;
    const taken = chunk.copy(message, this.#filled, at);
    this.#filled += taken;
    if (this.#filled === this.#length) {
      this.#deliver();
    }
    return taken;
  }

  #deliver(): void {
    const message = this.#message as Buffer;
    this.#message = undefined;
    this.#prefixFilled = 0;
    this.#stream.host.unfinished(this.#stream, false);
    this.#stream.charge(-message.length);
    this.#sink.onMessage(message);
  }

  #lengthOf(compressed: number, length: number): number {
    if (compressed !== 0) {
      throw new RequestError(Status.UNIMPLEMENTED, 'grpc: compressed messages are not supported');
    }
    if (length > this.#maxBytes) {
      const text = `grpc: received message larger than max (${length} vs. ${this.#maxBytes})`;
      throw new RequestError(Status.RESOURCE_EXHAUSTED, text);
    }
    return length;
  }
}
