import { PREFACE, settingsFrame, windowUpdateFrame } from '../../http2/frame-writers.js';
import { DEFAULT_WINDOW, MAX_HEADER_BLOCK_BYTES } from '../../http2/frames.js';
import { Setting } from '../../http2/settings.js';
import { STREAM_WINDOW } from './stream.js';

/** Our receive window for a whole connection. */
export const CONNECTION_WINDOW = 16 * 1024 * 1024;
/** How much the paused streams of a connection may hold together before the connection stops too. */
export const MAX_HELD_BYTES = 64 * 1024 * 1024;

/** What our clients begin with: no dynamic table, no push, windows that suit large answers. */
export function clientGreeting(): Buffer {
  return Buffer.concat([
    PREFACE,
    settingsFrame([
      [Setting.HEADER_TABLE_SIZE, 0],
      [Setting.ENABLE_PUSH, 0],
      [Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW],
      [Setting.MAX_HEADER_LIST_SIZE, MAX_HEADER_BLOCK_BYTES],
    ]),
    windowUpdateFrame(0, CONNECTION_WINDOW - DEFAULT_WINDOW),
  ]);
}
