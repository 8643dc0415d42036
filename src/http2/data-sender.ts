import { ConnectionError, ErrorCode } from './errors.js';
import { writeFrameHeader } from './frame-writers.js';
import {
  DEFAULT_WINDOW,
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  MAX_FRAME_BYTES,
  MAX_WINDOW,
} from './frames.js';
import type { Output } from './output.js';

/** The sending half of a stream, as {@link DataSender} needs it. */
export interface SendingStream {
  readonly id: number;
  sendWindow: number;
  /** What waits to be sent. */
  queue: Uint8Array[];
  queuedBytes: number;
  /** What waits is all that there will be, and the last DATA frame ends the stream. */
  readonly ending: boolean;
  endSent: boolean;
  /** So many bytes of the queue have been handed to the output; perhaps all. */
  onSent(bytes: number): void;
}

/**
 * Sends the data of streams as their windows, the connection's and the socket allow, one frame of each stream in turn.
 * It is the same for both roles.
 */
export class DataSender<S extends SendingStream> {
  /** The connection's window. */
  window = DEFAULT_WINDOW;
  /** What a new stream's window is. */
  initialWindow = DEFAULT_WINDOW;
  readonly #output: Output;
  /** Streams that have data and a window. */
  readonly #ready = new Set<S>();

  constructor(output: Output) {
    this.#output = output;
  }

  /** Takes one frame of so many bytes out of both windows, where it may be sent at once. */
  take(stream: S, bytes: number): boolean {
    if (
      stream.queuedBytes > 0 ||
      bytes > MAX_FRAME_BYTES ||
      bytes > this.window ||
      bytes > stream.sendWindow ||
      !this.#output.writable
    ) {
      return false;
    }
    this.window -= bytes;
    stream.sendWindow -= bytes;
    return true;
  }

  /** Something was put in the stream's queue. */
  queued(stream: S): void {
    if (stream.queuedBytes > 0 && stream.sendWindow > 0) {
      this.#ready.add(stream);
    }
  }

  forget(stream: S): void {
    this.#ready.delete(stream);
  }

  /** Sends what can be sent now. Not to be called while it runs. */
  pump(): void {
    for (const stream of this.#ready) {
      if (this.window <= 0 || !this.#output.writable) {
        break;
      }
      this.#ready.delete(stream);
      this.#sendFrame(stream);
      if (stream.queuedBytes > 0 && stream.sendWindow > 0) {
        this.#ready.add(stream); // behind the others
      }
    }
  }

  /** A change applies to open streams too, whose windows may become negative (RFC 9113, section 6.9.2). */
  setInitialWindow(bytes: number, streams: Iterable<S>): void {
    if (bytes > MAX_WINDOW) {
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, `an initial window of ${bytes} bytes`);
    }
    const change = bytes - this.initialWindow;
    this.initialWindow = bytes;
    for (const stream of streams) {
      if (!this.widen(stream, change)) {
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'the window of a stream overflows');
      }
    }
  }

  /** By WINDOW_UPDATE for the connection; {@link pump} is to follow. */
  widenConnection(bytes: number): void {
    if (this.window + bytes > MAX_WINDOW) {
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'the window of the connection overflows');
    }
    this.window += bytes;
  }

  /** By WINDOW_UPDATE for one stream; {@link pump} is to follow. False where the window overflows. */
  widen(stream: S, bytes: number): boolean {
    if (stream.sendWindow + bytes > MAX_WINDOW) {
      return false;
    }
    stream.sendWindow += bytes;
    if (stream.sendWindow <= 0) {
      this.#ready.delete(stream);
    } else if (stream.queuedBytes > 0) {
      this.#ready.add(stream);
    }
    return true;
  }

  #sendFrame(stream: S): void {
    const length = Math.min(MAX_FRAME_BYTES, this.window, stream.sendWindow, stream.queuedBytes);
    const end = stream.ending && length === stream.queuedBytes;
    this.window -= length;
    stream.sendWindow -= length;
    stream.queuedBytes -= length;
    stream.endSent = end;
    const at = this.#output.reserve(FRAME_HEADER_BYTES);
    writeFrameHeader(this.#output.segment, at, length, FrameType.DATA, end ? Flag.END_STREAM : 0, stream.id);
    const { queue } = stream;
    let rest = length;
    let whole = 0;
    for (; rest > 0; whole++) {
      const piece = queue[whole] as Uint8Array;
      if (piece.length > rest) {
        this.#output.append(piece.subarray(0, rest));
        queue[whole] = piece.subarray(rest);
        break;
      }
      this.#output.append(piece);
      rest -= piece.length;
    }
    queue.splice(0, whole);
    stream.onSent(length);
  }
}
