import { Flag, FRAME_HEADER_BYTES, FrameType, MAX_FRAME_BYTES } from './frames.js';

/** What a client sends first (RFC 9113, section 3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Writes the nine bytes that begin each frame. `length` is the payload's. */
export function writeFrameHeader(
  target: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  target[at] = length >>> 16;
  target[at + 1] = length >>> 8;
  target[at + 2] = length;
  target[at + 3] = type;
  target[at + 4] = flags;
  target[at + 5] = streamId >>> 24;
  target[at + 6] = streamId >>> 16;
  target[at + 7] = streamId >>> 8;
  target[at + 8] = streamId;
}

export function settingsFrame(settings: readonly (readonly [setting: number, value: number])[]): Buffer {
  const frame = frameOf(FrameType.SETTINGS, 0, 0, settings.length * 6);
  let at = FRAME_HEADER_BYTES;
  for (const [setting, value] of settings) {
    at = frame.writeUInt32BE(value, frame.writeUInt16BE(setting, at));
  }
  return frame;
}

export function settingsAckFrame(): Buffer {
  return frameOf(FrameType.SETTINGS, Flag.ACK, 0, 0);
}

/** @param data eight bytes */
export function pingFrame(data: Uint8Array, ack: boolean): Buffer {
  const frame = frameOf(FrameType.PING, ack ? Flag.ACK : 0, 0, 8);
  frame.set(data, FRAME_HEADER_BYTES);
  return frame;
}

export function rstStreamFrame(streamId: number, code: number): Buffer {
  const frame = frameOf(FrameType.RST_STREAM, 0, streamId, 4);
  frame.writeUInt32BE(code, FRAME_HEADER_BYTES);
  return frame;
}

export function goawayFrame(lastStreamId: number, code: number, debugData = ''): Buffer {
  const debug = Buffer.from(debugData);
  const frame = frameOf(FrameType.GOAWAY, 0, 0, 8 + debug.length);
  frame.writeUInt32BE(lastStreamId, FRAME_HEADER_BYTES);
  frame.writeUInt32BE(code, FRAME_HEADER_BYTES + 4);
  frame.set(debug, FRAME_HEADER_BYTES + 8);
  return frame;
}

/** Stream 0 is the connection. */
export function windowUpdateFrame(streamId: number, increment: number): Buffer {
  const frame = frameOf(FrameType.WINDOW_UPDATE, 0, streamId, 4);
  frame.writeUInt32BE(increment, FRAME_HEADER_BYTES);
  return frame;
}

/** @param data at most {@link MAX_FRAME_BYTES} */
export function dataFrame(streamId: number, data: Uint8Array, endStream: boolean): Buffer {
  const frame = frameOf(FrameType.DATA, endStream ? Flag.END_STREAM : 0, streamId, data.length);
  frame.set(data, FRAME_HEADER_BYTES);
  return frame;
}

/** HEADERS, with as many CONTINUATIONs as the block needs. */
export function headersFrames(streamId: number, block: Uint8Array, endStream: boolean): Buffer {
  const frames: Buffer[] = [];
  let at = 0;
  do {
    const end = Math.min(at + MAX_FRAME_BYTES, block.length);
    const flags =
      (end === block.length ? Flag.END_HEADERS : 0) | (at === 0 && endStream ? Flag.END_STREAM : 0);
    const frame = frameOf(at === 0 ? FrameType.HEADERS : FrameType.CONTINUATION, flags, streamId, end - at);
    frame.set(block.subarray(at, end), FRAME_HEADER_BYTES);
    frames.push(frame);
    at = end;
  } while (at < block.length);
  return frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames);
}

function frameOf(type: number, flags: number, streamId: number, length: number): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + length);
  writeFrameHeader(frame, 0, length, type, flags, streamId);
  return frame;
}
