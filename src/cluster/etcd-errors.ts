import { status as GrpcStatus, type ServiceError } from '@grpc/grpc-js';

/**
 * What went wrong with a call to etcd, as far as a caller has to know.
 *
 * | kind | was it applied? |
 * |---|---|
 * | `unavailable`, `timeout` | unknown: a call that was sent may still take effect |
 * | `stale-auth` | no: etcd refused it because users or roles changed while it was under way |
 * | `signed-out` | no: the token is not valid (any more) |
 * | `no-space` | no: the NOSPACE alarm is raised |
 * | all others | no |
 */
export type EtcdErrorKind =
  | 'unavailable'
  | 'timeout'
  | 'stale-auth'
  | 'signed-out'
  | 'no-space'
  | 'already-exists'
  | 'not-found'
  | 'denied'
  | 'auth-not-enabled'
  | 'wrong-password'
  | 'other';

/** A call to etcd that failed. The message is etcd's own; it never holds a password. */
export class EtcdError extends Error {
  override readonly name = 'EtcdError';

  constructor(
    readonly kind: EtcdErrorKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** Whether the same call may succeed later without anybody mending anything. */
  get isTransient(): boolean {
    return (
      this.kind === 'unavailable' ||
      this.kind === 'timeout' ||
      this.kind === 'stale-auth' ||
      this.kind === 'signed-out'
    );
  }
}

// The texts are etcd's (api/v3rpc/rpctypes/error.go); the codes alone do not tell these cases apart.
const BY_TEXT: readonly [RegExp, EtcdErrorKind][] = [
  [/revision of auth store is old/, 'stale-auth'],
  [/invalid auth token|user name is empty/, 'signed-out'],
  [/database space exceeded/, 'no-space'],
  [/authentication is not enabled/, 'auth-not-enabled'],
  [/invalid user ID or password/, 'wrong-password'],
  [/(role|user) name already exists/, 'already-exists'],
  [/(role|user) name not found|requested lease not found|role is not granted/, 'not-found'],
  [/permission denied/, 'denied'],
  [
    /request timed out|too many requests|leader changed|no leader|not leader|server stopped|learner/,
    'unavailable',
  ],
];

const BY_CODE: { readonly [code: number]: EtcdErrorKind } = {
  [GrpcStatus.UNAVAILABLE]: 'unavailable',
  [GrpcStatus.CANCELLED]: 'unavailable',
  [GrpcStatus.ABORTED]: 'unavailable',
  [GrpcStatus.INTERNAL]: 'unavailable',
  [GrpcStatus.DEADLINE_EXCEEDED]: 'timeout',
  [GrpcStatus.UNAUTHENTICATED]: 'signed-out',
  [GrpcStatus.PERMISSION_DENIED]: 'denied',
};

/** Names a gRPC error. */
export function toEtcdError(error: ServiceError): EtcdError {
  const text = error.details || error.message;
  const byText = BY_TEXT.find(([pattern]) => pattern.test(text));
  const kind = byText?.[1] ?? BY_CODE[error.code] ?? 'other';
  return new EtcdError(kind, text.replace(/^etcdserver: /, ''), { cause: error });
}
