import { DataSender } from '../../http2/data-sender.js';
import { ErrorCode } from '../../http2/errors.js';
import {
  headersFrames,
  rstStreamFrame,
  windowUpdateFrame,
  writeFrameHeader,
} from '../../http2/frame-writers.js';
import { Flag, FRAME_HEADER_BYTES, FrameType, MAX_FRAME_BYTES } from '../../http2/frames.js';
import { TABLE_SIZE_ZERO } from '../../http2/hpack.js';
import type { Output } from '../../http2/output.js';
import type { FloodGuard } from './flood-guard.js';
import type { ConnectionLimits } from './limits.js';
import { RequestMemory } from './request-memory.js';
import { RequestTimes } from './request-times.js';
import type { ServerStream } from './stream.js';
import type { StreamHost } from './stream-host.js';
import { StreamTable } from './stream-table.js';

const HIGH_WATER_BYTES = 64 * 1024;
const COPY_BELOW_BYTES = 2_048;

/** What the sender needs of the connection. */
export interface SenderHost {
  /** Takes bytes of the portal's budget, or gives them back; false where the connection had to end. */
  hold(bytes: number): boolean;
  /** More waits to be sent than is allowed. */
  overflow(): void;
  /** A stream was removed. */
  streamClosed(stream: ServerStream): void;
}

/** The streams of a connection, and all that is sent on them. */
export class ServerSender implements StreamHost<ServerStream> {
  /** Open streams by their id, those that linger too. */
  readonly streams: ReadonlyMap<number, ServerStream>;
  readonly streamWindow: number;
  readonly data: DataSender<ServerStream>;
  /** All that waits to be sent on streams. */
  queuedBytes = 0;
  /** Answered streams whose request has not ended. */
  readonly #lingering = new Set<ServerStream>();
  readonly #table: StreamTable;
  readonly #times: RequestTimes;
  readonly #output: Output;
  readonly #limits: ConnectionLimits;
  readonly #guard: FloodGuard;
  readonly #host: SenderHost;
  readonly #memory: RequestMemory;
  #first = true;
  #pumping = false;

  constructor(output: Output, limits: ConnectionLimits, guard: FloodGuard, host: SenderHost) {
    this.#output = output;
    this.#limits = limits;
    this.#guard = guard;
    this.#host = host;
    this.streamWindow = limits.streamWindow;
    this.#table = new StreamTable((bytes) => host.hold(bytes));
    this.streams = this.#table.byId;
    this.#times = new RequestTimes(limits.requestTimeoutMs);
    this.data = new DataSender(output);
    this.#memory = new RequestMemory(limits.requestMemoryBytes);
  }

  get congested(): boolean {
    return this.queuedBytes > this.#limits.queueHighWaterBytes;
  }

  get highWaterBytes(): number {
    return this.congested ? 0 : HIGH_WATER_BYTES;
  }

  /** A new stream. False where the connection had to end for it. */
  add(stream: ServerStream): boolean {
    return this.#table.add(stream);
  }

  sendHeaders(stream: ServerStream, block: Buffer, endStream: boolean): void {
    const output = this.#output;
    if (this.#first || block.length > MAX_FRAME_BYTES) {
      const whole = this.#first ? Buffer.concat([TABLE_SIZE_ZERO, block]) : block;
      this.#first = false;
      output.append(headersFrames(stream.id, whole, endStream));
      return;
    }
    const at = output.reserve(FRAME_HEADER_BYTES + block.length);
    writeHeaders(output.segment, at, stream.id, block, endStream ? Flag.END_STREAM : 0);
  }

  sendData(stream: ServerStream, prefix: Uint8Array | undefined, data: Uint8Array): void {
    const prefixBytes = prefix?.length ?? 0;
    const bytes = prefixBytes + data.length;
    if (!this.data.take(stream, bytes)) {
      this.#enqueue(stream, prefix, data);
      return;
    }
    this.#guard.work();
    const output = this.#output;
    const copied = data.length < COPY_BELOW_BYTES;
    const at = output.reserve(FRAME_HEADER_BYTES + prefixBytes + (copied ? data.length : 0));
    writeFrameHeader(output.segment, at, bytes, FrameType.DATA, 0, stream.id);
    if (prefix !== undefined) {
      output.segment.set(prefix, at + FRAME_HEADER_BYTES);
    }
    if (copied) {
      output.segment.set(data, at + FRAME_HEADER_BYTES + prefixBytes);
    } else {
      output.append(data);
    }
  }

  sendEnd(stream: ServerStream): void {
    const at = this.#output.reserve(FRAME_HEADER_BYTES);
    writeFrameHeader(this.#output.segment, at, 0, FrameType.DATA, Flag.END_STREAM, stream.id);
  }

  /** Head, one frame of data and trailers go out as one piece where the windows allow it. */
  sendAnswer(
    stream: ServerStream,
    head: Buffer,
    prefix: Uint8Array,
    data: Uint8Array,
    trailers: Buffer,
  ): void {
    const bytes = prefix.length + data.length;
    if (this.#first || data.length >= COPY_BELOW_BYTES || !this.data.take(stream, bytes)) {
      this.sendHeaders(stream, head, false);
      this.sendData(stream, prefix, data);
      stream.end(trailers);
      return;
    }
    this.#guard.work();
    const output = this.#output;
    let at = output.reserve(3 * FRAME_HEADER_BYTES + head.length + bytes + trailers.length);
    const { segment } = output;
    writeHeaders(segment, at, stream.id, head, 0);
    at += FRAME_HEADER_BYTES + head.length;
    writeFrameHeader(segment, at, bytes, FrameType.DATA, 0, stream.id);
    at += FRAME_HEADER_BYTES;
    segment.set(prefix, at);
    segment.set(data, at + prefix.length);
    writeHeaders(segment, at + bytes, stream.id, trailers, Flag.END_STREAM);
    stream.ended();
  }

  sendReset(stream: ServerStream, code: number): void {
    this.#output.append(rstStreamFrame(stream.id, code));
  }

  sendCredit(stream: ServerStream, bytes: number): void {
    this.#output.append(windowUpdateFrame(stream.id, bytes));
  }

  sent(bytes: number): void {
    this.queuedBytes -= bytes;
    this.#host.hold(-bytes);
    this.#guard.work();
  }

  hold(bytes: number): boolean {
    return this.#host.hold(bytes);
  }

  reserve(stream: ServerStream, bytes: number, granted: () => void): void {
    this.#memory.reserve(stream, bytes, granted);
  }

  unfinished(stream: ServerStream, is: boolean): void {
    if (is) {
      this.#times.begin(stream);
    } else {
      this.#times.end(stream);
      this.#memory.release(stream);
    }
  }

  closed(stream: ServerStream, whole: boolean): void {
    this.data.forget(stream);
    this.unfinished(stream, false);
    if (whole) {
      this.remove(stream);
    } else {
      this.#lingering.add(stream);
    }
  }

  remove(stream: ServerStream): void {
    if (this.#lingering.size > 0) {
      this.#lingering.delete(stream);
    }
    this.#table.remove(stream);
    this.#host.streamClosed(stream);
  }

  /** Sends what can be sent now. */
  pump(): void {
    if (!this.#pumping && this.queuedBytes > 0) {
      this.#pumping = true;
      try {
        this.data.pump();
      } finally {
        this.#pumping = false;
      }
    }
  }

  /** Returns why the connection has to end, if it has to. */
  tick(elapsedMs: number): string | undefined {
    for (const stream of this.#lingering) {
      this.sendReset(stream, ErrorCode.NO_ERROR); // it has its answer (RFC 9113, section 8.1)
      this.remove(stream);
    }
    if (this.congested) {
      this.#endStalled(elapsedMs);
    }
    return this.#times.tick(elapsedMs) ? 'a request is not finished in time' : undefined;
  }

  /** The peer takes nothing of these streams, while others wait because of them. */
  #endStalled(elapsedMs: number): void {
    for (const stream of this.streams.values()) {
      if (stream.queuedBytes > 0) {
        stream.stalledMs += elapsedMs;
        if (stream.stalledMs > this.#limits.stallTimeoutMs) {
          this.sendReset(stream, ErrorCode.ENHANCE_YOUR_CALM);
          stream.abort('the peer takes nothing of the stream');
        }
      }
    }
  }

  #enqueue(stream: ServerStream, prefix: Uint8Array | undefined, data: Uint8Array): void {
    const bytes = (prefix?.length ?? 0) + data.length;
    if (bytes === 0 || !this.#host.hold(bytes)) {
      return;
    }
    stream.queue = stream.queuedBytes === 0 ? [] : stream.queue;
    if (prefix !== undefined) {
      stream.queue.push(Buffer.from(prefix)); // its writer may use it again
    }
    stream.queue.push(data);
    stream.queuedBytes += bytes;
    this.queuedBytes += bytes;
    if (this.queuedBytes > this.#limits.maxQueuedBytes && this.queuedBytes > bytes) {
      this.#host.overflow();
      return;
    }
    this.data.queued(stream);
    this.pump();
  }
}

function writeHeaders(target: Buffer, at: number, streamId: number, block: Buffer, flag: number): void {
  writeFrameHeader(target, at, block.length, FrameType.HEADERS, Flag.END_HEADERS | flag, streamId);
  target.set(block, at + FRAME_HEADER_BYTES);
}
