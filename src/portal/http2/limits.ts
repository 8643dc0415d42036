const KIB = 1024;
const MIB = 1024 * KIB;

/**
 * What one connection of a stranger may do. Where a limit is passed, the connection ends with GOAWAY
 * (ENHANCE_YOUR_CALM) unless something else is said. Frames are 16,384 bytes at most, the protocol's default.
 */
export interface ConnectionLimits {
  /** Until the peer has sent its preface and settings and acknowledged ours. */
  settingsTimeoutMs: number;
  /**
   * Until the first request. Clients that balance over two portals keep a connection to each and may use the second
   * only when the first fails: what finds dead peers is `keepaliveIntervalMs`.
   */
  firstRequestTimeoutMs: number;
  /** Without any stream, after which the connection ends (GOAWAY, NO_ERROR); Compose's portals waited a day. */
  idleTimeoutMs: number;
  /** How long nothing may come until we ask for a sign of life by PING. */
  keepaliveIntervalMs: number;
  /** How long nothing may come after that until the connection is given up. */
  keepaliveTimeoutMs: number;
  /** How long a frame or a header block may stay unfinished. */
  frameTimeoutMs: number;
  /** How long a request that was begun may stay unfinished, once there is memory for it. */
  requestTimeoutMs: number;
  /** How long data may wait to be sent without any of it being taken. */
  stallTimeoutMs: number;
  /** Announced as SETTINGS_MAX_CONCURRENT_STREAMS; streams beyond it are refused (REFUSED_STREAM, not processed). */
  maxStreams: number;
  /** HEADERS and its CONTINUATIONs, of which there may be 16. */
  maxHeaderBlockBytes: number;
  /** After decoding: names and values and 32 bytes for each field; announced as SETTINGS_MAX_HEADER_LIST_SIZE. */
  maxHeaderListBytes: number;
  maxHeaderFields: number;
  /** Our receive window for each stream: what an unfinished request holds before memory is reserved for it. */
  streamWindow: number;
  /** Our receive window for the connection: what is on its way and not read yet. */
  connectionWindow: number;
  /** For requests larger than the stream's window, which are read in turn when they don't fit all together. */
  requestMemoryBytes: number;
  /** How much may wait to be sent before new requests wait too. */
  queueHighWaterBytes: number;
  /** How much may wait to be sent at all; one answer may be larger. */
  maxQueuedBytes: number;
  /**
   * Resets by the peer, and resets of ours that its errors cause: so many at once and so many a second. An honest
   * client cancels all of its calls at once when its own user goes away.
   */
  resetBurst: number;
  resetsPerSecond: number;
  /**
   * Frames that do no work: PING, SETTINGS, WINDOW_UPDATE, PRIORITY, unknown ones, empty DATA, frames on streams that
   * are closed. So many at once and so many a second; work done (streams, DATA frames) earns some more, since honest
   * clients send WINDOW_UPDATE and PING (to measure the bandwidth) for what they receive.
   */
  controlBurst: number;
  controlsPerSecond: number;
}

export const DEFAULT_LIMITS: ConnectionLimits = {
  settingsTimeoutMs: 10_000,
  firstRequestTimeoutMs: 300_000,
  idleTimeoutMs: 24 * 60 * 60 * 1_000,
  keepaliveIntervalMs: 30_000,
  keepaliveTimeoutMs: 20_000,
  frameTimeoutMs: 20_000,
  requestTimeoutMs: 60_000,
  stallTimeoutMs: 60_000,
  maxStreams: 1_000,
  maxHeaderBlockBytes: 16 * KIB,
  maxHeaderListBytes: 16 * KIB,
  maxHeaderFields: 100,
  streamWindow: 16 * KIB,
  connectionWindow: MIB,
  requestMemoryBytes: 3 * MIB,
  queueHighWaterBytes: 4 * MIB,
  maxQueuedBytes: 64 * MIB,
  resetBurst: 2_000,
  resetsPerSecond: 400,
  controlBurst: 2_000,
  controlsPerSecond: 200,
};
