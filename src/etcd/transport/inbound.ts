import { ConnectionError, ErrorCode, errorName } from '../../http2/errors.js';
import { pingFrame, settingsAckFrame } from '../../http2/frame-writers.js';
import { type FrameHandler, MAX_FRAME_BYTES, MAX_STREAM_ID } from '../../http2/frames.js';
import { BlockCache, WITHOUT_TABLE } from '../../http2/header-decoder.js';
import type { ReceiveCredit } from '../../http2/receive-credit.js';
import { Setting, settingsOf } from '../../http2/settings.js';
import { Status } from './errors.js';
import { type ResponseHeaders, responseHeaders } from './grpc.js';
import type { Keepalive } from './keepalive.js';
import type { Sender } from './sender.js';
import type { Stream } from './stream.js';

const LARGEST_FRAME_BYTES = 0xff_ffff;
const MAX_DEBUG_CHARACTERS = 200;

/** What frames of the peer do to the connection as a whole. */
export interface InboundHost {
  /** Settings have been exchanged: theirs have come, ours are acknowledged. */
  ready(): void;
  /** Sends an answer. */
  reply(frame: Buffer): void;
  goaway(lastStreamId: number, reason: Error): void;
}

/** Takes the frames of a server to where they belong, and checks what depends on the connection's state. */
export class Inbound implements FrameHandler {
  readonly #host: InboundHost;
  readonly #sender: Sender;
  readonly #credit: ReceiveCredit;
  readonly #keepalive: Keepalive;
  readonly #blocks = new BlockCache<ResponseHeaders>(WITHOUT_TABLE, responseHeaders);
  #settingsSeen = false;
  #settingsAcknowledged = false;
  #goawayId = MAX_STREAM_ID;

  constructor(host: InboundHost, sender: Sender, credit: ReceiveCredit, keepalive: Keepalive) {
    this.#host = host;
    this.#sender = sender;
    this.#credit = credit;
    this.#keepalive = keepalive;
  }

  onData(streamId: number, data: Buffer, endStream: boolean, flowBytes: number): void {
    this.#keepalive.receivedMessage();
    this.#credit.received(flowBytes);
    this.#streamOf(streamId)?.onData(data, endStream, flowBytes);
  }

  onHeaders(streamId: number, block: Buffer, endStream: boolean): void {
    this.#keepalive.receivedMessage();
    this.#streamOf(streamId)?.onHeaders(this.#blocks.get(block), endStream);
  }

  onRstStream(streamId: number, code: number): void {
    this.#streamOf(streamId)?.onReset(code);
  }

  onSettings(entries: Buffer): void {
    for (const [setting, value] of settingsOf(entries)) {
      if (setting === Setting.INITIAL_WINDOW_SIZE) {
        this.#sender.setInitialWindow(value);
      } else if (setting === Setting.MAX_CONCURRENT_STREAMS) {
        this.#sender.setMaxStreams(value);
      } else if (setting === Setting.ENABLE_PUSH && value !== 0) {
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a server that turns push on');
      } else if (
        setting === Setting.MAX_FRAME_SIZE &&
        (value < MAX_FRAME_BYTES || value > LARGEST_FRAME_BYTES)
      ) {
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `SETTINGS_MAX_FRAME_SIZE ${value}`);
      }
    }
    this.#host.reply(settingsAckFrame());
    this.#settingsSeen = true;
    this.#openWhenReady();
    this.#sender.pump();
  }

  onSettingsAck(): void {
    this.#settingsAcknowledged = true;
    this.#openWhenReady();
  }

  onPing(data: Buffer, ack: boolean): void {
    if (ack) {
      this.#keepalive.answered();
    } else {
      this.#host.reply(pingFrame(data, true));
    }
  }

  onGoaway(lastStreamId: number, code: number, debugData: Buffer): void {
    if (lastStreamId > this.#goawayId) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'GOAWAY with a higher last stream than before');
    }
    this.#goawayId = lastStreamId;
    const text = debugData.toString('latin1', 0, MAX_DEBUG_CHARACTERS).replace(/[^\x20-\x7e]/g, '?');
    const reason = new Error(`the peer said GOAWAY: ${errorName(code)}${text === '' ? '' : ` ${text}`}`);
    this.#host.goaway(lastStreamId, reason);
  }

  onWindowUpdate(streamId: number, increment: number): void {
    if (streamId === 0) {
      this.#sender.windowUpdate(increment);
      return;
    }
    const stream = this.#streamOf(streamId);
    if (stream !== undefined) {
      this.#sender.streamWindowUpdate(stream, increment);
    }
  }

  onStreamError(streamId: number, code: number, message: string): void {
    this.#streamOf(streamId)?.abort(code, Status.INTERNAL, message);
  }

  /** Undefined where the stream is closed: frames may still be on their way. */
  #streamOf(streamId: number): Stream | undefined {
    const stream = this.#sender.streams.get(streamId);
    if (stream === undefined && (streamId % 2 === 0 || streamId >= this.#sender.nextId)) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `a frame on the idle stream ${streamId}`);
    }
    return stream;
  }

  #openWhenReady(): void {
    if (this.#settingsSeen && this.#settingsAcknowledged) {
      this.#host.ready();
    }
  }
}
