/** The longest answer that is passed on, in bytes: a connection holds this much for a slow reader, and no more. */
export const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

/** gRPC's status codes (grpc/doc/statuscodes.md). */
export enum Code {
  OK = 0,
  CANCELLED = 1,
  UNKNOWN = 2,
  INVALID_ARGUMENT = 3,
  DEADLINE_EXCEEDED = 4,
  NOT_FOUND = 5,
  ALREADY_EXISTS = 6,
  PERMISSION_DENIED = 7,
  RESOURCE_EXHAUSTED = 8,
  FAILED_PRECONDITION = 9,
  ABORTED = 10,
  OUT_OF_RANGE = 11,
  UNIMPLEMENTED = 12,
  INTERNAL = 13,
  UNAVAILABLE = 14,
  DATA_LOSS = 15,
  UNAUTHENTICATED = 16,
}

/** How a call ends: gRPC's code and message. */
export interface Status {
  readonly code: number;
  readonly message: string;
}

/** etcd's own answers (api/v3rpc/rpctypes/error.go), unless said otherwise. */
export const statuses = {
  ok: { code: Code.OK, message: '' },
  permissionDenied: { code: Code.PERMISSION_DENIED, message: 'etcdserver: permission denied' },
  userEmpty: { code: Code.INVALID_ARGUMENT, message: 'etcdserver: user name is empty' },
  invalidToken: { code: Code.UNAUTHENTICATED, message: 'etcdserver: invalid auth token' },
  authFailed: {
    code: Code.INVALID_ARGUMENT,
    message: 'etcdserver: authentication failed, invalid user ID or password',
  },
  compacted: {
    code: Code.OUT_OF_RANGE,
    message: 'etcdserver: mvcc: required revision has been compacted',
  },
  futureRevision: {
    code: Code.OUT_OF_RANGE,
    message: 'etcdserver: mvcc: required revision is a future revision',
  },
  /** The call may have been applied. */
  connectionLost: {
    code: Code.UNAVAILABLE,
    message: 'etcdserver: request timed out, possibly due to connection lost',
  },
  /** etcd did not get the call. etcd's Go client repeats puts only after this text, which is gRPC's. */
  notSent: { code: Code.UNAVAILABLE, message: 'there is no connection available' },
  /** The portal stops, or starts. */
  stopped: { code: Code.UNAVAILABLE, message: 'etcdserver: server stopped' },
  /** Two key spaces of the cluster have the same lease tag; the portal's own text. */
  noLeases: { code: Code.UNAVAILABLE, message: 'etcdserver: leases are not available to this key space' },
  tooManyRequests: { code: Code.RESOURCE_EXHAUSTED, message: 'etcdserver: too many requests' },
  cancelled: { code: Code.CANCELLED, message: 'context canceled' },
  deadlineExceeded: { code: Code.DEADLINE_EXCEEDED, message: 'context deadline exceeded' },
  /** gRPC's: a call of one message with none or several. */
  oneMessage: { code: Code.INTERNAL, message: 'the call takes exactly one message' },
  /** A fault of the portal's own, or an answer that must not reach the tenant. */
  fault: { code: Code.INTERNAL, message: 'etcdserver: internal error' },
} as const satisfies { readonly [name: string]: Status };

/** The portal's own limit, in gRPC's words: etcd has none worth speaking of. */
export function answerTooLarge(bytes: number): Status {
  const message = `grpc: trying to send message larger than max (${bytes} vs. ${MAX_ANSWER_BYTES})`;
  return { code: Code.RESOURCE_EXHAUSTED, message };
}

/** As grpc-go words it. */
export function unimplemented(path: string): Status {
  const [, service = '', method = ''] = path.split('/');
  return { code: Code.UNIMPLEMENTED, message: `unknown method ${method} for service ${service}` };
}
