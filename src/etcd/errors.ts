import { type Delivery, Status, TransportError } from './transport/errors.js';

/**
 * What went wrong with a call to etcd, as far as a caller has to know.
 *
 * | kind | was it applied? |
 * |---|---|
 * | `unavailable`, `timeout` | unknown, unless it was not sent: a call that was sent may still take effect |
 * | `no-space` | unknown: with the NOSPACE alarm raised, etcd may apply a transaction and answer with the error all the same |
 * | `stale-auth` | no: etcd refused it because users or roles changed while it was under way |
 * | `signed-out` | no: the token is not valid (any more) |
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

/** Kinds after which the same call may succeed without anybody fixing anything. */
const TRANSIENT: ReadonlySet<EtcdErrorKind> = new Set(['unavailable', 'timeout', 'stale-auth', 'signed-out']);
const LOST: ReadonlySet<EtcdErrorKind> = new Set(['unavailable', 'timeout', 'no-space']);

export interface EtcdErrorOptions extends ErrorOptions {
  /** What is known of the call's way to etcd; `answered` where it is left out. */
  delivery?: Delivery;
}

/** A call to etcd that failed. The message is etcd's own; it never holds a password. */
export class EtcdError extends Error {
  override readonly name = 'EtcdError';
  readonly delivery: Delivery;

  constructor(
    readonly kind: EtcdErrorKind,
    message: string,
    { delivery = 'answered', ...options }: EtcdErrorOptions = {},
  ) {
    super(message, options);
    this.delivery = delivery;
  }

  /** Whether the same call may succeed later without anybody fixing anything. */
  get isTransient(): boolean {
    return TRANSIENT.has(this.kind);
  }

  /** Whether etcd may have applied the call, or may still apply it, although it failed. */
  get mayBeApplied(): boolean {
    return LOST.has(this.kind) && this.delivery !== 'not sent';
  }
}

/** Whether something thrown is etcd's error of this kind. */
export function isEtcdError(error: unknown, kind: EtcdErrorKind): boolean {
  return error instanceof EtcdError && error.kind === kind;
}

// The texts are etcd's (api/v3rpc/rpctypes/error.go); the codes alone do not tell these cases apart.
const BY_TEXT: readonly [RegExp, EtcdErrorKind][] = [
  [/revision of auth store is old/, 'stale-auth'],
  [/invalid auth token|user name is empty/, 'signed-out'],
  [/database space exceeded/, 'no-space'],
  [/authentication is not enabled/, 'auth-not-enabled'],
  [/invalid user ID or password/, 'wrong-password'],
  [/(role|user) name already exists|lease already exists/, 'already-exists'],
  [/(role|user) name not found|requested lease not found|role is not granted/, 'not-found'],
  [/permission denied/, 'denied'],
  [
    /request timed out|too many requests|leader changed|no leader|not leader|server stopped|learner/,
    'unavailable',
  ],
];

const BY_CODE: { readonly [code: number]: EtcdErrorKind } = {
  [Status.UNAVAILABLE]: 'unavailable',
  [Status.CANCELLED]: 'unavailable',
  10: 'unavailable', // ABORTED
  [Status.INTERNAL]: 'unavailable',
  [Status.DEADLINE_EXCEEDED]: 'timeout',
  [Status.UNAUTHENTICATED]: 'signed-out',
  [Status.PERMISSION_DENIED]: 'denied',
};

/** Names what the transport reports. What etcd did not say itself is told by its code alone. */
export function toEtcdError(
  { code, message, delivery }: Omit<TransportError, 'name'>,
  cause?: unknown,
): EtcdError {
  const byText = delivery === 'answered' ? BY_TEXT.find(([pattern]) => pattern.test(message)) : undefined;
  const kind = byText?.[1] ?? BY_CODE[code] ?? 'other';
  return new EtcdError(kind, message.replace(/^etcdserver: /, ''), { cause, delivery });
}

/** What a call threw, as an error of etcd's if the transport reports it. */
export function namedError(error: unknown): unknown {
  return error instanceof TransportError ? toEtcdError(error, error) : error;
}
