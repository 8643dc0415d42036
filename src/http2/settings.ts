/** Settings of RFC 9113, section 6.5.2. */
export const Setting = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
  MAX_FRAME_SIZE: 0x5,
  MAX_HEADER_LIST_SIZE: 0x6,
} as const;

/** The settings of a SETTINGS frame, in order. */
export function* settingsOf(entries: Buffer): Generator<[setting: number, value: number]> {
  for (let at = 0; at + 6 <= entries.length; at += 6) {
    yield [entries.readUInt16BE(at), entries.readUInt32BE(at + 2)];
  }
}
