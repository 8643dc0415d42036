import { ErrorCode } from '../../http2/errors.js';

/** gRPC's status codes (grpc/doc/statuscodes.md) that the transport itself gives or looks at. */
export const Status = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  DEADLINE_EXCEEDED: 4,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

/**
 * What is known of a call that failed.
 * `not sent`: it never reached etcd, or was refused unprocessed (REFUSED_STREAM, above GOAWAY's last stream): safe to
 * repeat. `answered`: etcd gave a status. `unknown`: it may have been applied.
 */
export type Delivery = 'not sent' | 'answered' | 'unknown';

/** A call, or the opening of a connection, that failed. */
export class TransportError extends Error {
  override readonly name = 'TransportError';
  /** gRPC's status code. */
  readonly code: number;
  readonly delivery: Delivery;

  constructor(code: number, message: string, delivery: Delivery, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.delivery = delivery;
  }
}

/** gRPC's status for a stream that the peer reset (grpc/doc/PROTOCOL-HTTP2.md, "Errors"). */
export function statusOfReset(code: number): number {
  switch (code) {
    case ErrorCode.REFUSED_STREAM:
      return Status.UNAVAILABLE;
    case ErrorCode.CANCEL:
      return Status.CANCELLED;
    case ErrorCode.ENHANCE_YOUR_CALM:
      return Status.RESOURCE_EXHAUSTED;
    case ErrorCode.INADEQUATE_SECURITY:
      return Status.PERMISSION_DENIED;
    default:
      return Status.INTERNAL;
  }
}

/** gRPC's status for an HTTP status of an answer without `grpc-status` (grpc/doc/http-grpc-status-mapping.md). */
export function statusOfHttp(status: number): number {
  switch (status) {
    case 400:
      return Status.INTERNAL;
    case 401:
      return Status.UNAUTHENTICATED;
    case 403:
      return Status.PERMISSION_DENIED;
    case 404:
      return Status.UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
      return Status.UNAVAILABLE;
    default:
      return Status.UNKNOWN;
  }
}
