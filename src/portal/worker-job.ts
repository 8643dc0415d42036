import type { PortalSnapshot } from './metrics/snapshot.js';

/** What goes between the broker and the worker thread of a portal: plain data, since secrets' types do not travel. */
export interface PortalJob {
  readonly cluster: {
    readonly endpoints: readonly string[];
    readonly caCertificate: string;
    readonly clientCertificate?: string;
    readonly clientKey?: string;
    readonly username: string;
    readonly password: string;
  };
  /** The newest first. */
  readonly encryptionKeys: readonly { readonly id: string; readonly key: string }[];
  /** What credentials name. */
  readonly endpoints: readonly string[];
  /** Which of the endpoints this portal is. */
  readonly self: number;
  readonly host?: string;
  readonly port: number;
  readonly certificate:
    | { readonly kind: 'files'; readonly certFile: string; readonly keyFile: string }
    | { readonly kind: 'fixed'; readonly cert: string; readonly key: string };
  readonly proxyProtocol: boolean;
  /** Bytes by plan id. */
  readonly quotas: readonly (readonly [planId: string, bytes: number])[];
  readonly defaultQuota: number;
  readonly logLevel: string;
  /** So many lines of the log may wait for the broker. */
  readonly mostWaiting: number;
}

/** What both sides count, in this order: the lines of the log that the broker has not taken yet, and the beats. */
export const WAITING = 0;
export const BEATS = 1;
export const COUNTS_BYTES = 8;

export type ToWorker = { job: PortalJob; counts: SharedArrayBuffer } | { drainMs: number } | { tell: true };
export type FromWorker =
  | { listensOn: number }
  | { failure: string }
  | { line: string }
  | { told: PortalSnapshot };
