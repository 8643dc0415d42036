import { DataSender } from '../../http2/data-sender.js';
import { ErrorCode } from '../../http2/errors.js';
import {
  headersFrames,
  rstStreamFrame,
  windowUpdateFrame,
  writeFrameHeader,
} from '../../http2/frame-writers.js';
import { Flag, FRAME_HEADER_BYTES, FrameType, MAX_FRAME_BYTES, MAX_STREAM_ID } from '../../http2/frames.js';
import { TABLE_SIZE_ZERO } from '../../http2/hpack.js';
import type { Output } from '../../http2/output.js';
import type { ReceiveCredit } from '../../http2/receive-credit.js';
import { Status, TransportError } from './errors.js';
import { MESSAGE_PREFIX_BYTES, writeMessagePrefix } from './grpc.js';
import type { Stream } from './stream.js';
import type { StreamHost } from './stream-host.js';

const MAX_WAITING_CALLS = 10_000;
/** What a stream may have waiting before its writer is told to wait. */
const HIGH_WATER_BYTES = 64 * 1024;
const COPY_BELOW_BYTES = 2_048;

/**
 * The sending side of a connection: opens streams as the peer's SETTINGS_MAX_CONCURRENT_STREAMS allows, and sends
 * their data as its windows and the socket allow, one frame of each stream in turn.
 */
export class Sender implements StreamHost<Stream> {
  readonly maxMessageBytes: number;
  /** Open streams by their id. */
  readonly streams = new Map<number, Stream>();
  /** Calls that wait to be opened, in order. */
  readonly waiting = new Set<Stream>();
  nextId = 1;
  readonly #output: Output;
  readonly #credit: ReceiveCredit;
  readonly #onFinished: () => void;
  readonly #data: DataSender<Stream>;
  #maxStreams = Number.POSITIVE_INFINITY;
  #pumping = false;

  /** @param onFinished after the end of each stream, before its call hears of it */
  constructor(output: Output, credit: ReceiveCredit, maxMessageBytes: number, onFinished: () => void) {
    this.#output = output;
    this.#data = new DataSender(output);
    this.#credit = credit;
    this.maxMessageBytes = maxMessageBytes;
    this.#onFinished = onFinished;
  }

  get exhausted(): boolean {
    return this.nextId > MAX_STREAM_ID;
  }

  /** @throws TransportError when too many calls wait */
  open(stream: Stream): void {
    if (this.waiting.size === 0 && this.#mayStart()) {
      this.#start(stream);
      return;
    }
    if (this.waiting.size >= MAX_WAITING_CALLS) {
      throw new TransportError(Status.RESOURCE_EXHAUSTED, 'too many calls wait for a stream', 'not sent');
    }
    this.waiting.add(stream);
  }

  /** Returns false when the stream has so much waiting that its writer should wait. */
  send(stream: Stream, message: Uint8Array, end: boolean): boolean {
    const bytes = MESSAGE_PREFIX_BYTES + message.length;
    if (stream.id === 0 || !this.#data.take(stream, bytes)) {
      stream.enqueue(message);
      if (stream.id !== 0) {
        this.#data.queued(stream);
        this.pump();
      }
      return stream.queuedBytes < HIGH_WATER_BYTES;
    }
    stream.endSent = end;
    const output = this.#output;
    const copied = message.length < COPY_BELOW_BYTES;
    const at = output.reserve(FRAME_HEADER_BYTES + MESSAGE_PREFIX_BYTES + (copied ? message.length : 0));
    writeFrameHeader(output.segment, at, bytes, FrameType.DATA, end ? Flag.END_STREAM : 0, stream.id);
    writeMessagePrefix(output.segment, at + FRAME_HEADER_BYTES, message.length);
    if (copied) {
      output.segment.set(message, at + FRAME_HEADER_BYTES + MESSAGE_PREFIX_BYTES);
    } else {
      output.append(message);
    }
    return true;
  }

  /** The stream's `ending` is set; what waits goes first. */
  sendEnd(stream: Stream): void {
    if (stream.id !== 0 && stream.queuedBytes === 0 && !stream.endSent) {
      stream.endSent = true;
      const at = this.#output.reserve(FRAME_HEADER_BYTES);
      writeFrameHeader(this.#output.segment, at, 0, FrameType.DATA, Flag.END_STREAM, stream.id);
    }
  }

  /** Calls that wait for a stream fail as not sent. To be called before streams end, which makes room for them. */
  failWaiting(reason: string): void {
    for (const stream of this.waiting) {
      stream.finish({ code: Status.UNAVAILABLE, message: reason, delivery: 'not sent' });
    }
  }

  sendReset(stream: Stream, code: number): void {
    this.#output.append(rstStreamFrame(stream.id, code));
  }

  sendCredit(stream: Stream, bytes: number): void {
    this.#output.append(windowUpdateFrame(stream.id, bytes));
  }

  held(bytes: number): void {
    this.#credit.held(bytes);
  }

  finished(stream: Stream): void {
    this.streams.delete(stream.id);
    this.waiting.delete(stream);
    this.#data.forget(stream);
    if (this.waiting.size > 0) {
      this.pump();
    }
    this.#onFinished();
  }

  /** Sends what can be sent now. */
  pump(): void {
    if (this.#pumping) {
      return;
    }
    this.#pumping = true;
    try {
      for (const stream of this.waiting) {
        if (!this.#mayStart()) {
          break;
        }
        this.waiting.delete(stream);
        this.#start(stream);
      }
      this.#data.pump();
    } finally {
      this.#pumping = false;
    }
  }

  setMaxStreams(count: number): void {
    this.#maxStreams = count;
  }

  setInitialWindow(bytes: number): void {
    this.#data.setInitialWindow(bytes, this.streams.values());
  }

  windowUpdate(increment: number): void {
    this.#data.widenConnection(increment);
    this.pump();
  }

  streamWindowUpdate(stream: Stream, increment: number): void {
    if (!this.#data.widen(stream, increment)) {
      stream.abort(ErrorCode.FLOW_CONTROL_ERROR, Status.INTERNAL, 'the window of the stream overflows');
      return;
    }
    this.pump();
  }

  #mayStart(): boolean {
    return this.streams.size < this.#maxStreams && this.#output.writable && !this.exhausted;
  }

  #start(stream: Stream): void {
    const first = this.nextId === 1;
    const output = this.#output;
    stream.id = this.nextId;
    this.nextId += 2;
    stream.sendWindow = this.#data.initialWindow;
    stream.openedAtFlush = output.flushes;
    this.streams.set(stream.id, stream);
    const { pathBlock, tokenBlock } = stream;
    const length = pathBlock.length + (tokenBlock?.length ?? 0);
    if (first || length > MAX_FRAME_BYTES) {
      const parts = [TABLE_SIZE_ZERO, pathBlock, ...(tokenBlock ? [tokenBlock] : [])];
      output.append(headersFrames(stream.id, Buffer.concat(first ? parts : parts.slice(1)), false));
    } else {
      const at = output.reserve(FRAME_HEADER_BYTES + length);
      writeFrameHeader(output.segment, at, length, FrameType.HEADERS, Flag.END_HEADERS, stream.id);
      output.segment.set(pathBlock, at + FRAME_HEADER_BYTES);
      if (tokenBlock !== undefined) {
        output.segment.set(tokenBlock, at + FRAME_HEADER_BYTES + pathBlock.length);
      }
    }
    if (stream.queuedBytes > 0) {
      this.#data.queued(stream);
    } else if (stream.ending) {
      this.sendEnd(stream);
    }
  }
}
