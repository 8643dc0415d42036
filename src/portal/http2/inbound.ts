import { ConnectionError, ErrorCode } from '../../http2/errors.js';
import { pingFrame, settingsAckFrame } from '../../http2/frame-writers.js';
import { DEFAULT_WINDOW, type FrameHandler, MAX_FRAME_BYTES, MAX_STREAM_ID } from '../../http2/frames.js';
import { BlockCache } from '../../http2/header-decoder.js';
import type { HeaderField } from '../../http2/hpack.js';
import { ReceiveCredit } from '../../http2/receive-credit.js';
import { Setting, settingsOf } from '../../http2/settings.js';
import type { FloodGuard } from './flood-guard.js';
import { HEADER_TABLE_BYTES } from './greeting.js';
import type { ConnectionLimits } from './limits.js';
import { type RequestHead, requestHead, wrongTrailers } from './request-head.js';
import type { ServerSender } from './sender.js';
import { ServerStream } from './stream.js';

const LARGEST_FRAME_BYTES = 0xff_ffff;
const SETTING_BYTES = 6;
const MAX_SETTINGS = 32;
/** Heads below it are part of what a stream costs in any case. */
const LARGE_HEAD_BYTES = 512;

/** What frames of the peer do to the connection as a whole. */
export interface InboundHost<T> {
  interpret(head: RequestHead): T;
  request(stream: ServerStream, meaning: T): void;
  /** Sends an answer to SETTINGS or PING. */
  reply(frame: Buffer): void;
  sendReset(streamId: number, code: number): void;
  sendCredit(bytes: number): void;
  /** The peer wants to close the connection. */
  peerLeaves(): void;
}

interface Block<T> {
  readonly fields: readonly HeaderField[];
  /** Why it can't be a request, where it can't. */
  readonly malformed: string | undefined;
  readonly head: RequestHead | undefined;
  readonly meaning: T | undefined;
}

/** Takes the frames of a client to where they belong, and checks what depends on the connection's state. */
export class ServerInbound<T> implements FrameHandler {
  /** The highest stream that the client has opened. */
  lastId = 0;
  /** Streams above it are ignored: GOAWAY has said so. */
  acceptUpTo = MAX_STREAM_ID;
  settingsSeen = false;
  settingsAcknowledged = false;
  readonly #host: InboundHost<T>;
  readonly #sender: ServerSender;
  readonly #guard: FloodGuard;
  readonly #limits: ConnectionLimits;
  readonly #credit: ReceiveCredit;
  readonly #blocks: BlockCache<Block<T>>;
  /** A stream's receive window at its start: the protocol's until the peer has taken ours. */
  #receiveWindow = DEFAULT_WINDOW;

  constructor(host: InboundHost<T>, sender: ServerSender, guard: FloodGuard, limits: ConnectionLimits) {
    this.#host = host;
    this.#sender = sender;
    this.#guard = guard;
    this.#limits = limits;
    this.#credit = new ReceiveCredit(limits.connectionWindow, Number.POSITIVE_INFINITY, (bytes) =>
      host.sendCredit(bytes),
    );
    const { maxHeaderFields: maxFields, maxHeaderListBytes: maxListBytes } = limits;
    const options = { tableBytes: HEADER_TABLE_BYTES, maxFields, maxListBytes };
    this.#blocks = new BlockCache(options, (fields) => this.#interpret(fields));
  }

  onHeaders(streamId: number, bytes: Buffer, endStream: boolean): void {
    this.#requireSettings();
    const block = this.#blocks.get(bytes); // always: it may change the table
    if (streamId <= this.lastId) {
      this.#trailers(this.#streamOf(streamId), block, endStream);
      return;
    }
    if (streamId % 2 === 0) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `a client can't open stream ${streamId}`);
    }
    this.lastId = streamId;
    if (streamId > this.acceptUpTo) {
      this.#guard.control();
      return;
    }
    const { head, meaning } = block;
    if (head === undefined || this.#sender.streams.size >= this.#limits.maxStreams) {
      this.#guard.reset();
      const code = head === undefined ? ErrorCode.PROTOCOL_ERROR : ErrorCode.REFUSED_STREAM;
      this.#host.sendReset(streamId, code);
      return;
    }
    this.#guard.work();
    const { initialWindow } = this.#sender.data;
    const stream = new ServerStream(this.#sender, streamId, head, initialWindow, this.#receiveWindow);
    stream.remoteEnded = endStream;
    if (this.#sender.add(stream) && (bytes.length < LARGE_HEAD_BYTES || stream.charge(2 * bytes.length))) {
      this.#host.request(stream, meaning as T);
    }
  }

  onData(streamId: number, data: Buffer, endStream: boolean, flowBytes: number): void {
    this.#credit.received(flowBytes);
    if (data.length === 0 && !endStream) {
      this.#guard.control();
    }
    const stream = this.#streamOf(streamId);
    if (stream === undefined) {
      this.#guard.control();
    } else if (stream.remoteEnded) {
      throw new ConnectionError(ErrorCode.STREAM_CLOSED, 'data after the end of a request');
    } else {
      stream.onData(data, endStream, flowBytes);
      this.#removeWhenWhole(stream);
    }
  }

  onRstStream(streamId: number, code: number): void {
    const stream = this.#streamOf(streamId);
    if (stream === undefined || stream.finished) {
      this.#guard.control();
    } else {
      this.#guard.reset();
    }
    stream?.onReset(code);
  }

  onSettings(entries: Buffer): void {
    this.#guard.settings();
    if (entries.length > MAX_SETTINGS * SETTING_BYTES) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many settings');
    }
    for (const [setting, value] of settingsOf(entries)) {
      if (setting === Setting.INITIAL_WINDOW_SIZE) {
        this.#sender.data.setInitialWindow(value, this.#sender.streams.values());
      } else if (setting === Setting.ENABLE_PUSH && value > 1) {
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `SETTINGS_ENABLE_PUSH ${value}`);
      } else if (
        setting === Setting.MAX_FRAME_SIZE &&
        (value < MAX_FRAME_BYTES || value > LARGEST_FRAME_BYTES)
      ) {
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `SETTINGS_MAX_FRAME_SIZE ${value}`);
      }
    }
    this.settingsSeen = true;
    this.#host.reply(settingsAckFrame());
    this.#sender.pump();
  }

  onSettingsAck(): void {
    if (this.settingsAcknowledged) {
      this.#guard.control();
      return;
    }
    this.settingsAcknowledged = true;
    const less = this.#receiveWindow - this.#limits.streamWindow;
    this.#receiveWindow -= less;
    for (const stream of this.#sender.streams.values()) {
      stream.narrow(less);
    }
  }

  onPing(data: Buffer, ack: boolean): void {
    this.#guard.control();
    if (!ack) {
      this.#host.reply(pingFrame(data, true));
    }
  }

  onGoaway(): void {
    this.#guard.control();
    this.#host.peerLeaves();
  }

  onWindowUpdate(streamId: number, increment: number): void {
    this.#guard.control();
    const { data } = this.#sender;
    if (streamId === 0) {
      data.widenConnection(increment);
    } else {
      const stream = this.#streamOf(streamId);
      if (stream !== undefined && !data.widen(stream, increment)) {
        this.onStreamError(streamId, ErrorCode.FLOW_CONTROL_ERROR, 'the window of the stream overflows');
      }
    }
    this.#sender.pump();
  }

  /** It counts as a reset of the peer's: that it makes us reset is no way round the limit. */
  onStreamError(streamId: number, code: number, message: string): void {
    this.#guard.reset();
    const stream = this.#sender.streams.get(streamId);
    if (stream !== undefined) {
      this.#host.sendReset(streamId, code);
      stream.abort(message);
    }
  }

  onIgnored(): void {
    this.#guard.control();
  }

  #trailers(stream: ServerStream | undefined, { fields }: Block<T>, endStream: boolean): void {
    if (stream === undefined) {
      this.#guard.control();
      return;
    }
    const wrong = endStream && !stream.remoteEnded ? wrongTrailers(fields) : 'HEADERS within a request';
    if (wrong !== undefined) {
      this.onStreamError(stream.id, ErrorCode.PROTOCOL_ERROR, wrong);
      return;
    }
    stream.onRemoteEnd();
    this.#removeWhenWhole(stream);
  }

  /** The answer has gone out before the request was whole. */
  #removeWhenWhole(stream: ServerStream): void {
    if (stream.finished && stream.remoteEnded && this.#sender.streams.has(stream.id)) {
      this.#sender.remove(stream);
    }
  }

  /** Undefined where the stream is closed: frames may still be on their way. */
  #streamOf(streamId: number): ServerStream | undefined {
    const stream = this.#sender.streams.get(streamId);
    if (stream === undefined && (streamId % 2 === 0 || streamId > this.lastId)) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `a frame on the idle stream ${streamId}`);
    }
    return stream;
  }

  #requireSettings(): void {
    if (!this.settingsSeen) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a request before SETTINGS');
    }
  }

  #interpret(fields: readonly HeaderField[]): Block<T> {
    const head = requestHead(fields);
    return typeof head === 'string'
      ? { fields, malformed: head, head: undefined, meaning: undefined }
      : { fields, malformed: undefined, head, meaning: this.#host.interpret(head) };
  }
}
