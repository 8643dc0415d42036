import type { HeaderField } from '../../http2/hpack.js';
import { Status, statusOfHttp } from './errors.js';

/** A byte that tells whether the message is compressed, and four of its length (grpc/doc/PROTOCOL-HTTP2.md). */
export const MESSAGE_PREFIX_BYTES = 5;

export const DEFAULT_MAX_MESSAGE_BYTES = 256 * 1024 * 1024;

/** Where a {@link MessageReader} delivers to. It stops before the next message when `paused` is true. */
export interface MessageSink {
  readonly paused: boolean;
  /** Whether a message that spans several chunks may be put together now; the reader stops before it where not. */
  admits(bytes: number): boolean;
  onMessage(message: Buffer): void;
}

/** What can't be read as gRPC messages, or is larger than is allowed. */
export class MessageError extends Error {
  override readonly name = 'MessageError';
  /** gRPC's status code. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Takes messages out of the bytes of DATA frames. A message that lies within one chunk is a part of that chunk; one
 * that spans several is put together when all of it is there, so that an announced length alone allocates nothing.
 */
export class MessageReader {
  readonly #maxBytes: number;
  readonly #sink: MessageSink;
  readonly #parts: Buffer[] = [];
  #partsBytes = 0;
  #isAdmitted = false;

  constructor(sink: MessageSink, maxBytes: number) {
    this.#sink = sink;
    this.#maxBytes = maxBytes;
  }

  /** Whether a message that was admitted is being put together. It is finished even where the sink pauses. */
  get assembling(): boolean {
    return this.#isAdmitted;
  }

  /** Whether the bytes so far end in the middle of a message. */
  get incomplete(): boolean {
    return this.#partsBytes > 0;
  }

  /**
   * Returns how many bytes it took: all, unless the sink was paused or did not admit a message; the rest is to be
   * given again.
   *
   * @throws MessageError
   */
  read(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length && (this.#isAdmitted || !this.#sink.paused)) {
      if (this.#partsBytes > 0) {
        const taken = this.#continue(chunk, at);
        if (taken === 0) {
          break;
        }
        at += taken;
        continue;
      }
      if (chunk.length - at < MESSAGE_PREFIX_BYTES) {
        return this.#keep(chunk, at);
      }
      const end = at + MESSAGE_PREFIX_BYTES + this.#lengthOf(chunk, at);
      if (end > chunk.length) {
        return this.#admits(end - at) ? this.#keep(chunk, at) : at;
      }
      const start = at + MESSAGE_PREFIX_BYTES;
      at = end;
      this.#sink.onMessage(chunk.subarray(start, end));
    }
    return at;
  }

  #keep(chunk: Buffer, at: number): number {
    this.#parts.push(chunk.subarray(at));
    this.#partsBytes += chunk.length - at;
    return chunk.length;
  }

  #admits(bytes: number): boolean {
    this.#isAdmitted ||= this.#sink.admits(bytes);
    return this.#isAdmitted;
  }

  /** Adds to the unfinished message what this chunk has of it, and returns how much; 0 where it is not admitted. */
  #continue(chunk: Buffer, at: number): number {
    const first = this.#parts[0] as Buffer;
    if (first.length < MESSAGE_PREFIX_BYTES) {
      // A prefix that is cut is rare: make it whole first.
      const taken = Math.min(MESSAGE_PREFIX_BYTES - first.length, chunk.length - at);
      this.#parts[0] = Buffer.concat([first, chunk.subarray(at, at + taken)]);
      this.#partsBytes += taken;
      this.#deliverIfWhole();
      return taken;
    }
    const whole = MESSAGE_PREFIX_BYTES + this.#lengthOf(first, 0);
    if (!this.#admits(whole)) {
      return 0;
    }
    const missing = whole - this.#partsBytes;
    const taken = Math.min(missing, chunk.length - at);
    this.#parts.push(chunk.subarray(at, at + taken));
    this.#partsBytes += taken;
    this.#deliverIfWhole();
    return taken;
  }

  #deliverIfWhole(): void {
    const first = this.#parts[0] as Buffer;
    if (
      first.length < MESSAGE_PREFIX_BYTES ||
      this.#partsBytes < MESSAGE_PREFIX_BYTES + this.#lengthOf(first, 0)
    ) {
      return;
    }
    this.#parts[0] = first.subarray(MESSAGE_PREFIX_BYTES);
    const message = Buffer.concat(this.#parts, this.#partsBytes - MESSAGE_PREFIX_BYTES);
    this.#parts.length = 0;
    this.#partsBytes = 0;
    this.#isAdmitted = false;
    this.#sink.onMessage(message);
  }

  #lengthOf(bytes: Buffer, at: number): number {
    if (bytes[at] !== 0) {
      throw new MessageError(Status.INTERNAL, 'a compressed message, which was not asked for');
    }
    const length = bytes.readUInt32BE(at + 1);
    if (length > this.#maxBytes) {
      // As grpc-go words it.
      const text = `grpc: received message larger than max (${length} vs. ${this.#maxBytes})`;
      throw new MessageError(Status.RESOURCE_EXHAUSTED, text);
    }
    return length;
  }
}

/** Writes the prefix of a message that is not compressed. */
export function writeMessagePrefix(target: Buffer, at: number, length: number): void {
  target[at] = 0;
  target[at + 1] = length >>> 24;
  target[at + 2] = length >>> 16;
  target[at + 3] = length >>> 8;
  target[at + 4] = length;
}

/** A header block of an answer: its head, its trailers, or both in one (a "trailers-only" answer). */
export interface ResponseHeaders {
  /** HTTP's; undefined in trailers. */
  readonly httpStatus: number | undefined;
  readonly contentType: string;
  /** gRPC's, where it is there. */
  readonly status: number | undefined;
  readonly message: string;
  /** Why it is no valid block of an HTTP/2 answer. */
  readonly malformed: string | undefined;
}

export function responseHeaders(fields: readonly HeaderField[]): ResponseHeaders {
  let httpStatus: number | undefined;
  let contentType = '';
  let status: number | undefined;
  let message = '';
  let malformed: string | undefined;
  for (const [name, value] of fields) {
    if (name === ':status') {
      malformed ??= /^[1-9]\d\d$/.test(value) && httpStatus === undefined ? undefined : 'a wrong :status';
      httpStatus = Number(value);
    } else if (name === 'content-type') {
      contentType = value;
    } else if (name === 'grpc-status') {
      status = /^\d{1,3}$/.test(value) ? Number(value) : Status.UNKNOWN;
    } else if (name === 'grpc-message') {
      message = percentDecode(value);
    } else if (name === '' || name.startsWith(':') || name !== name.toLowerCase()) {
      malformed ??= 'a header that HTTP/2 does not allow';
    }
  }
  return { httpStatus, contentType, status, message, malformed };
}

/** What is wrong with an answer that has no gRPC status, judged by its head. */
export function statusWithoutGrpc(head: ResponseHeaders): { code: number; message: string } {
  if (head.httpStatus !== 200) {
    return { code: statusOfHttp(head.httpStatus ?? 0), message: `HTTP status ${head.httpStatus}` };
  }
  if (!isGrpc(head.contentType)) {
    return { code: Status.UNKNOWN, message: `an answer of content type "${head.contentType}"` };
  }
  return { code: Status.UNKNOWN, message: 'an answer without grpc-status' };
}

export function isGrpc(contentType: string): boolean {
  return contentType === 'application/grpc' || /^application\/grpc[+;]/.test(contentType);
}

/** grpc-message's percent encoding; what is not valid stays as it is. */
export function percentDecode(text: string): string {
  if (!text.includes('%')) {
    return text;
  }
  const bytes = text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
