import { settingsFrame, windowUpdateFrame } from '../../http2/frame-writers.js';
import { DEFAULT_WINDOW } from '../../http2/frames.js';
import { Setting } from '../../http2/settings.js';
import type { ConnectionLimits } from './limits.js';

/** The protocol's default, which clients may use before they have our settings. */
export const HEADER_TABLE_BYTES = 4_096;

/** What a server begins with. */
export function serverGreeting(limits: ConnectionLimits): Buffer {
  return Buffer.concat([
    settingsFrame([
      [Setting.MAX_CONCURRENT_STREAMS, limits.maxStreams],
      [Setting.INITIAL_WINDOW_SIZE, limits.streamWindow],
      [Setting.MAX_HEADER_LIST_SIZE, limits.maxHeaderListBytes],
    ]),
    windowUpdateFrame(0, limits.connectionWindow - DEFAULT_WINDOW),
  ]);
}
