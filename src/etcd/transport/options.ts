/** Where to connect to. Without `tls` it is plain TCP (HTTP/2 "with prior knowledge"). */
export interface ConnectionTarget {
  host: string;
  port: number;
  /** PEM texts; Node's own list of authorities where `ca` is not given. `serverName` is verified instead of `host`. */
  tls?: { ca?: string; cert?: string; key?: string; serverName?: string };
}

export interface ConnectionOptions {
  /** For TCP, TLS and the exchange of settings together; 5,000 where not given. */
  connectTimeoutMs?: number;
  /** How long nothing may come, while calls are open, until the peer is asked for a sign of life; 2,000. */
  pingIntervalMs?: number;
  /** How long nothing may come after that until the connection is given up; 3,000. */
  pingTimeoutMs?: number;
  /** The largest message that is taken; 256 MiB. */
  maxMessageBytes?: number;
  /** Once, when an opened connection is closed; without a reason after `close` and `drain`. */
  onClose?: (reason: Error | undefined) => void;
}

export interface UnaryOptions {
  /** Becomes the `token` metadata. */
  token?: string | undefined;
  /** On performance.now()'s clock; noticed up to 50 ms late. */
  deadline: number;
  signal?: AbortSignal;
}
