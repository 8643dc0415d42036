/** What one connection of HTTP/1.1 may do. Where a limit is passed, the connection ends. Times are milliseconds. */
export interface Http1Limits {
  /** Without a request; clients keep connections for the next one. */
  idleTimeoutMs: number;
  /** For the head of a request, from its first byte. */
  headTimeoutMs: number;
  /** For a request, from its head on. */
  requestTimeoutMs: number;
  /** How long a part of an answer may wait until the client takes it. */
  stallTimeoutMs: number;
  /** Of the request line and all header fields together. */
  maxHeaderBytes: number;
  maxHeaderFields: number;
  maxBodyBytes: number;
  /** Requests that were sent before the answers to earlier ones came. */
  maxPipelined: number;
}

export const HTTP1_LIMITS: Http1Limits = {
  idleTimeoutMs: 300_000,
  headTimeoutMs: 20_000,
  requestTimeoutMs: 60_000,
  stallTimeoutMs: 60_000,
  maxHeaderBytes: 16 * 1024,
  maxHeaderFields: 100,
  maxBodyBytes: 3 * 1024 * 1024,
  maxPipelined: 32,
};
