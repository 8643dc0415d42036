import type { SendingStream } from '../../http2/data-sender.js';
import { ErrorCode, errorName } from '../../http2/errors.js';
import type { Call, CallEnd, CallHandlers } from './call.js';
import { type Delivery, Status, statusOfReset } from './errors.js';
import {
  isGrpc,
  MESSAGE_PREFIX_BYTES,
  MessageError,
  MessageReader,
  type MessageSink,
  type ResponseHeaders,
  statusWithoutGrpc,
  writeMessagePrefix,
} from './grpc.js';
import type { StreamHost } from './stream-host.js';

/** Our receive window for each stream; what a paused stream can make us hold. A longer message is a large one. */
export const STREAM_WINDOW = 256 * 1024;
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
const NOTHING: Uint8Array[] = [];

/** One call: the state of its stream in both directions. */
export class Stream implements Call, MessageSink, SendingStream {
  /** 0 while the stream waits to be opened. */
  id = 0;
  /** On performance.now()'s clock. */
  deadline = Number.POSITIVE_INFINITY;
  /** How many times the output had been flushed when the stream was opened. */
  openedAtFlush = 0;
  sendWindow = 0;
  /** What waits to be sent, message prefixes included. */
  queue: Uint8Array[] = NOTHING;
  queuedBytes = 0;
  /** `end` was called. */
  ending = false;
  /** END_STREAM was sent. */
  endSent = false;
  needsDrain = false;
  paused = false;
  finished = false;
  readonly pathBlock: Buffer;
  readonly tokenBlock: Buffer | undefined;
  readonly handlers: CallHandlers;
  readonly #host: StreamHost<Stream>;
  #head: ResponseHeaders | undefined;
  #reader: MessageReader | undefined;
  #receiveWindow = STREAM_WINDOW;
  #uncredited = 0;
  #consuming = false;
  #held: Buffer[] | undefined;
  /** The peer has ended the stream. */
  #remoteEnd: CallEnd | undefined;

  constructor(
    host: StreamHost<Stream>,
    pathBlock: Buffer,
    tokenBlock: Buffer | undefined,
    handlers: CallHandlers,
  ) {
    this.#host = host;
    this.pathBlock = pathBlock;
    this.tokenBlock = tokenBlock;
    this.handlers = handlers;
  }

  write(message: Uint8Array): boolean {
    return this.#write(message, false);
  }

  /** One message, and no more. */
  writeLast(message: Uint8Array): void {
    this.#write(message, true);
  }

  end(): void {
    if (!this.ending && !this.finished) {
      this.ending = true;
      this.#host.sendEnd(this);
    }
  }

  cancel(): void {
    this.abort(ErrorCode.CANCEL, Status.CANCELLED, 'the call was cancelled');
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    if (this.#consuming) {
      return; // called by a handler: who called that one goes on, in order
    }
    while (this.#holds && !this.#waits && !this.finished) {
      const chunk = this.#held?.shift() as Buffer;
      this.#host.held(-chunk.length);
      this.#consume(chunk);
    }
    if (this.#remoteEnd !== undefined && !this.#holds) {
      this.#deliverEnd(this.#remoteEnd);
    }
  }

  /** Puts a message in the queue. */
  enqueue(message: Uint8Array): void {
    const prefix = Buffer.allocUnsafe(MESSAGE_PREFIX_BYTES);
    writeMessagePrefix(prefix, 0, message.length);
    if (this.queue === NOTHING) {
      this.queue = [];
    }
    this.queue.push(prefix, message);
    this.queuedBytes += MESSAGE_PREFIX_BYTES + message.length;
  }

  onSent(): void {
    if (this.needsDrain && this.queuedBytes === 0) {
      this.needsDrain = false;
      this.handlers.onDrain?.();
    }
  }

  onHeaders(headers: ResponseHeaders, endStream: boolean): void {
    if (headers.malformed !== undefined) {
      this.abort(ErrorCode.PROTOCOL_ERROR, Status.INTERNAL, headers.malformed);
      return;
    }
    const { httpStatus } = headers;
    if (this.#head === undefined && httpStatus === undefined) {
      this.abort(ErrorCode.PROTOCOL_ERROR, Status.INTERNAL, 'an answer without :status');
    } else if (httpStatus !== undefined && httpStatus < 200 && !endStream) {
      // an informational head: the real one follows
    } else if (endStream) {
      this.#head ??= headers;
      this.#onRemoteEnd(headers);
    } else if (this.#head === undefined) {
      this.#head = headers;
    } else {
      this.abort(ErrorCode.PROTOCOL_ERROR, Status.INTERNAL, 'trailers that do not end the stream');
    }
  }

  onData(data: Buffer, endStream: boolean, flowBytes: number): void {
    const head = this.#head;
    this.#receiveWindow -= flowBytes;
    if (this.#receiveWindow < 0) {
      this.abort(ErrorCode.FLOW_CONTROL_ERROR, Status.INTERNAL, 'more data than its window');
      return;
    }
    if (head === undefined || this.#remoteEnd !== undefined) {
      this.abort(ErrorCode.PROTOCOL_ERROR, Status.INTERNAL, 'data outside of the answer');
      return;
    }
    this.#credit(flowBytes - data.length);
    if (head.httpStatus !== 200 || !isGrpc(head.contentType)) {
      this.#credit(data.length); // a page of text, of which only the status counts
    } else if (this.#waits || this.#holds) {
      this.#hold(data);
    } else {
      this.#consume(data);
    }
    if (endStream && !this.finished) {
      this.#onRemoteEnd(undefined);
    }
  }

  onReset(code: number): void {
    if (this.#remoteEnd === undefined) {
      const delivery = code === ErrorCode.REFUSED_STREAM ? 'not sent' : 'unknown';
      this.finish({
        code: statusOfReset(code),
        message: `the stream was reset: ${errorName(code)}`,
        delivery,
      });
    }
  }

  /** Resets the stream and ends the call. */
  abort(
    errorCode: number,
    code: number,
    message: string,
    delivery: Delivery = this.id === 0 ? 'not sent' : 'unknown',
  ): void {
    if (this.finished) {
      return;
    }
    if (this.id !== 0) {
      this.#host.sendReset(this, errorCode);
    }
    this.finish({ code, message, delivery });
  }

  finish(end: CallEnd): void {
    if (this.finished) {
      return;
    }
    this.finished = true;
    this.queue = NOTHING;
    this.queuedBytes = 0;
    if (this.#held !== undefined) {
      this.#host.held(-this.#held.reduce((sum, { length }) => sum + length, 0));
      this.#held = undefined;
    }
    this.#host.finished(this);
    this.handlers.onEnd(end);
  }

  onMessage(message: Buffer): void {
    if (!this.finished) {
      this.handlers.onMessage(message);
    }
  }

  admits(bytes: number): boolean {
    if (bytes <= STREAM_WINDOW || this.handlers.admits === undefined || this.handlers.admits(bytes)) {
      return true;
    }
    this.paused = true;
    return false;
  }

  /** Whether what comes has to be held. */
  get #waits(): boolean {
    return this.paused && this.#reader?.assembling !== true;
  }

  get #holds(): boolean {
    return this.#held !== undefined && this.#held.length > 0;
  }

  #write(message: Uint8Array, end: boolean): boolean {
    if (this.ending || this.finished) {
      return false;
    }
    if (this.queuedBytes > 0 && this.queuedBytes + message.length > MAX_QUEUED_BYTES) {
      this.abort(ErrorCode.CANCEL, Status.RESOURCE_EXHAUSTED, 'too much waits to be sent');
      return false;
    }
    this.ending = end;
    this.needsDrain = !this.#host.send(this, message, end);
    return !this.needsDrain;
  }

  #hold(data: Buffer): void {
    if (data.length > 0) {
      this.#held ??= [];
      this.#held.push(data);
      this.#host.held(data.length);
    }
  }

  #consume(data: Buffer): void {
    this.#reader ??= new MessageReader(this, this.#host.maxMessageBytes);
    let taken: number;
    this.#consuming = true;
    try {
      taken = this.#reader.read(data);
    } catch (error) {
      if (!(error instanceof MessageError)) {
        throw error;
      }
      // What is too large is an answer all the same, which the next one would be like.
      const delivery = error.code === Status.RESOURCE_EXHAUSTED ? 'answered' : undefined;
      this.abort(ErrorCode.CANCEL, error.code, error.message, delivery);
      return;
    } finally {
      this.#consuming = false;
    }
    if (this.finished) {
      return;
    }
    if (taken < data.length) {
      const rest = data.subarray(taken);
      this.#held ??= [];
      this.#held.unshift(rest);
      this.#host.held(rest.length);
    }
    this.#credit(taken);
  }

  #credit(bytes: number): void {
    this.#uncredited += bytes;
    if (this.#uncredited >= STREAM_WINDOW / 2 && this.#remoteEnd === undefined) {
      this.#host.sendCredit(this, this.#uncredited);
      this.#receiveWindow += this.#uncredited;
      this.#uncredited = 0;
    }
  }

  #onRemoteEnd(trailers: ResponseHeaders | undefined): void {
    const head = this.#head as ResponseHeaders;
    const end: CallEnd =
      trailers?.status === undefined
        ? { ...statusWithoutGrpc(head), delivery: 'unknown' }
        : { code: trailers.status, message: trailers.message, delivery: 'answered' };
    if (this.#holds) {
      this.#remoteEnd = end;
    } else {
      this.#deliverEnd(end);
    }
  }

  #deliverEnd(end: CallEnd): void {
    if (!this.endSent && !this.finished) {
      this.#host.sendReset(this, ErrorCode.NO_ERROR); // it wants no more of us
    }
    if (end.code === Status.OK && this.#reader?.incomplete) {
      this.finish({
        code: Status.INTERNAL,
        message: 'the answer ends within a message',
        delivery: 'unknown',
      });
    } else {
      this.finish(end);
    }
  }
}
