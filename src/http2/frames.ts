import { ConnectionError, ErrorCode } from './errors.js';
import { HeaderFragments } from './header-fragments.js';

/** Frame types of RFC 9113, section 6. */
export const FrameType = {
  DATA: 0x0,
  HEADERS: 0x1,
  PRIORITY: 0x2,
  RST_STREAM: 0x3,
  SETTINGS: 0x4,
  PUSH_PROMISE: 0x5,
  PING: 0x6,
  GOAWAY: 0x7,
  WINDOW_UPDATE: 0x8,
  CONTINUATION: 0x9,
} as const;

export const Flag = { END_STREAM: 0x1, ACK: 0x1, END_HEADERS: 0x4, PADDED: 0x8, PRIORITY: 0x20 } as const;

export const FRAME_HEADER_BYTES = 9;
/** What we accept and send: the protocol's default and minimum, so no setting can forbid it. */
export const MAX_FRAME_BYTES = 16_384;
export const MAX_WINDOW = 0x7fff_ffff;
export const DEFAULT_WINDOW = 65_535;
export const MAX_STREAM_ID = 0x7fff_ffff;
/** The bound of a header block, HEADERS and its CONTINUATIONs together, where no other is given. */
export const MAX_HEADER_BLOCK_BYTES = 65_536;

/**
 * What a parser found. Buffers may be parts of what was pushed; they are not written to afterwards.
 * Sizes, padding and stream ids' zero or non-zero are checked; what depends on a stream's state is not.
 */
export interface FrameHandler {
  /** `flowBytes` is what counts against the windows: the padding too. */
  onData(streamId: number, data: Buffer, endStream: boolean, flowBytes: number): void;
  /** A whole header block, of HEADERS and its CONTINUATIONs. */
  onHeaders(streamId: number, block: Buffer, endStream: boolean): void;
  onRstStream(streamId: number, code: number): void;
  /** `entries`: a multiple of six bytes; see `settingsOf`. */
  onSettings(entries: Buffer): void;
  onSettingsAck(): void;
  onPing(data: Buffer, ack: boolean): void;
  onGoaway(lastStreamId: number, code: number, debugData: Buffer): void;
  /** Stream 0 is the connection. */
  onWindowUpdate(streamId: number, increment: number): void;
  /** The peer broke the rules on one stream only. */
  onStreamError(streamId: number, code: number, message: string): void;
  /** A frame that means nothing to us: PRIORITY, or of an unknown type. */
  onIgnored?(): void;
}

const NOTHING = Buffer.alloc(0);

/**
 * An incremental parser of HTTP/2 frames, for either role, that does no I/O. It holds one frame and one header block
 * at most. PUSH_PROMISE is an error in both roles: a server never gets one and our clients turn push off.
 */
export class FrameParser {
  readonly #handler: FrameHandler;
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerFilled = 0;
  #payload: Buffer | undefined;
  #payloadFilled = 0;
  #stopped = false;
  readonly #fragments: HeaderFragments;
  /** How many frames have come. */
  frames = 0;

  constructor(handler: FrameHandler, maxHeaderBlockBytes = MAX_HEADER_BLOCK_BYTES) {
    this.#handler = handler;
    this.#fragments = new HeaderFragments(maxHeaderBlockBytes);
  }

  /** Nothing is dispatched any more, not even what is left of a chunk that is being pushed. */
  stop(): void {
    this.#stopped = true;
    this.#payload = undefined;
    this.#fragments.clear();
  }

  /** Whether the bytes so far end in the middle of a frame or of a header block. */
  get incomplete(): boolean {
    return this.#headerFilled > 0 || this.#fragments.streamId !== 0;
  }

  /** @throws ConnectionError when the peer broke the protocol; the parser can't be used after that */
  push(chunk: Buffer): void {
    if (this.#stopped) {
      return;
    }
    let at = this.#headerFilled > 0 ? this.#finishPartial(chunk) : 0;
    while (!this.#stopped && chunk.length - at >= FRAME_HEADER_BYTES) {
      const length = lengthAt(chunk, at);
      const end = at + FRAME_HEADER_BYTES + length;
      if (end > chunk.length) {
        break;
      }
      const payload = length === 0 ? NOTHING : chunk.subarray(at + FRAME_HEADER_BYTES, end);
      this.#dispatch(chunk, at, payload);
      at = end;
    }
    if (at < chunk.length && !this.#stopped) {
      this.#startPartial(chunk, at);
    }
  }

  #startPartial(chunk: Buffer, start: number): void {
    let at = start;
    const wanted = FRAME_HEADER_BYTES - this.#headerFilled;
    const taken = chunk.copy(this.#header, this.#headerFilled, at, Math.min(at + wanted, chunk.length));
    this.#headerFilled += taken;
    at += taken;
    if (this.#headerFilled === FRAME_HEADER_BYTES) {
      this.#payload = Buffer.allocUnsafe(lengthAt(this.#header, 0));
      this.#payloadFilled = chunk.copy(this.#payload, 0, at);
    }
  }

  /** Continues the frame that earlier chunks began; returns how much of this chunk belonged to it. */
  #finishPartial(chunk: Buffer): number {
    let at = 0;
    if (this.#payload === undefined) {
      at = Math.min(FRAME_HEADER_BYTES - this.#headerFilled, chunk.length);
      chunk.copy(this.#header, this.#headerFilled, 0, at);
      this.#headerFilled += at;
      if (this.#headerFilled < FRAME_HEADER_BYTES) {
        return at;
      }
      this.#payload = Buffer.allocUnsafe(lengthAt(this.#header, 0));
      this.#payloadFilled = 0;
    }
    const payload = this.#payload;
    const end = Math.min(at + payload.length - this.#payloadFilled, chunk.length);
    this.#payloadFilled += chunk.copy(payload, this.#payloadFilled, at, end);
    if (this.#payloadFilled === payload.length) {
      this.#payload = undefined;
      this.#headerFilled = 0;
      this.#dispatch(this.#header, 0, payload);
    }
    return end;
  }

  #dispatch(header: Buffer, at: number, payload: Buffer): void {
    const type = header[at + 3] as number;
    const flags = header[at + 4] as number;
    const streamId = header.readUInt32BE(at + 5) & MAX_STREAM_ID;
    const blockStream = this.#fragments.streamId;
    this.frames++;
    if (blockStream !== 0 && (type !== FrameType.CONTINUATION || streamId !== blockStream)) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a header block was interrupted');
    }
    switch (type) {
      case FrameType.DATA:
        requireStream(streamId, 'DATA');
        this.#handler.onData(
          streamId,
          (flags & Flag.PADDED) === 0 ? payload : withoutPadding(payload, 0),
          (flags & Flag.END_STREAM) !== 0,
          payload.length,
        );
        return;
      case FrameType.HEADERS: {
        requireStream(streamId, 'HEADERS');
        const priorityBytes = (flags & Flag.PRIORITY) === 0 ? 0 : 5;
        const fragment = (flags & Flag.PADDED) === 0 ? payload : withoutPadding(payload, priorityBytes);
        if (fragment.length < priorityBytes) {
          throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'HEADERS without its priority');
        }
        const endStream = (flags & Flag.END_STREAM) !== 0;
        const block = priorityBytes === 0 ? fragment : fragment.subarray(priorityBytes);
        if ((flags & Flag.END_HEADERS) !== 0) {
          this.#handler.onHeaders(streamId, block, endStream);
        } else {
          this.#fragments.begin(streamId, block, endStream);
        }
        return;
      }
      case FrameType.CONTINUATION:
        this.#continuation(payload, flags);
        return;
      case FrameType.WINDOW_UPDATE:
        this.#windowUpdate(streamId, payload);
        return;
      case FrameType.RST_STREAM:
        requireStream(streamId, 'RST_STREAM');
        requireSize(payload.length === 4, 'RST_STREAM');
        this.#handler.onRstStream(streamId, payload.readUInt32BE(0));
        return;
      case FrameType.SETTINGS:
        requireConnection(streamId, 'SETTINGS');
        if ((flags & Flag.ACK) !== 0) {
          requireSize(payload.length === 0, 'acknowledgement of SETTINGS');
          this.#handler.onSettingsAck();
        } else {
          requireSize(payload.length % 6 === 0, 'SETTINGS');
          this.#handler.onSettings(payload);
        }
        return;
      case FrameType.PING:
        requireConnection(streamId, 'PING');
        requireSize(payload.length === 8, 'PING');
        this.#handler.onPing(payload, (flags & Flag.ACK) !== 0);
        return;
      case FrameType.GOAWAY:
        requireConnection(streamId, 'GOAWAY');
        requireSize(payload.length >= 8, 'GOAWAY');
        this.#handler.onGoaway(
          payload.readUInt32BE(0) & MAX_STREAM_ID,
          payload.readUInt32BE(4),
          payload.subarray(8),
        );
        return;
      case FrameType.PRIORITY:
        requireStream(streamId, 'PRIORITY');
        if (payload.length !== 5) {
          this.#handler.onStreamError(streamId, ErrorCode.FRAME_SIZE_ERROR, 'PRIORITY of a wrong size');
        }
        this.#handler.onIgnored?.();
        return;
      case FrameType.PUSH_PROMISE:
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'PUSH_PROMISE, which is turned off');
      default:
        this.#handler.onIgnored?.(); // unknown types (RFC 9113, section 5.5)
    }
  }

  #continuation(payload: Buffer, flags: number): void {
    const { streamId, endStream } = this.#fragments;
    if (streamId === 0) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'CONTINUATION without HEADERS');
    }
    this.#fragments.add(payload);
    if ((flags & Flag.END_HEADERS) !== 0) {
      this.#handler.onHeaders(streamId, this.#fragments.take(), endStream);
    }
  }

  #windowUpdate(streamId: number, payload: Buffer): void {
    requireSize(payload.length === 4, 'WINDOW_UPDATE');
    const increment = payload.readUInt32BE(0) & MAX_WINDOW;
    if (increment > 0) {
      this.#handler.onWindowUpdate(streamId, increment);
    } else if (streamId === 0) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE by nothing');
    } else {
      this.#handler.onStreamError(streamId, ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE by nothing');
    }
  }
}

function lengthAt(bytes: Buffer, at: number): number {
  const length = bytes.readUIntBE(at, 3);
  if (length > MAX_FRAME_BYTES) {
    throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, `a frame of ${length} bytes`);
  }
  return length;
}

/** @param least how many bytes must be left besides the padding */
function withoutPadding(payload: Buffer, least: number): Buffer {
  requireSize(payload.length > 0, 'padded frame');
  const end = payload.length - (payload[0] as number);
  if (end < 1 + least) {
    throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'more padding than frame');
  }
  return payload.subarray(1, end);
}

function requireStream(streamId: number, frame: string): void {
  if (streamId === 0) {
    throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `${frame} without a stream`);
  }
}

function requireConnection(streamId: number, frame: string): void {
  if (streamId !== 0) {
    throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `${frame} on a stream`);
  }
}

function requireSize(right: boolean, frame: string): void {
  if (!right) {
    throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, `${frame} of a wrong size`);
  }
}
