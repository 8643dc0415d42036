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

/** HTTP/2's error codes (RFC 9113, section 7). */
export const ErrorCode = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  SETTINGS_TIMEOUT: 0x4,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  CONNECT_ERROR: 0xa,
  ENHANCE_YOUR_CALM: 0xb,
  INADEQUATE_SECURITY: 0xc,
  HTTP_1_1_REQUIRED: 0xd,
} as const;

const ERROR_NAMES = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]));

/** The name of an HTTP/2 error code, for messages. */
export function errorName(code: number): string {
  return ERROR_NAMES.get(code) ?? `error ${code}`;
}

/** The peer broke HTTP/2: the connection has to end with this error code. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(`${errorName(code)}: ${message}`);
    this.code = code;
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
