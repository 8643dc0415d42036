import {
  AsyncRequired,
  BrokerError,
  ConcurrencyError,
  Conflict,
  Gone,
  InvalidRequest,
  MaintenanceInfoConflict,
  NotFound,
  OperationFailed,
  StillInProgress,
  Unavailable,
  UnsupportedUpdate,
} from '../../broker/errors.js';
import { EtcdError } from '../../cluster/etcd-errors.js';
import { SealError } from '../../credentials/seal.js';
import { SessionLost } from '../../records/session.js';

/** A request that is refused before the broker sees it: the status is all that it has to say. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

/** A reply as the specification describes it in "Service Broker Errors". */
export interface ErrorReply {
  status: number;
  body: { error?: string; description: string; instance_usable?: boolean; update_repeatable?: boolean };
  headers: Readonly<Record<string, string>>;
  /** Whether it is the broker's own fault, which its log has to explain. */
  isFault: boolean;
}

type Kind = abstract new (...args: never[]) => BrokerError;

/** Which status and error code each error has. The codes are the specification's ("Error Codes"). */
const REPLIES: readonly [Kind, number, string?][] = [
  [InvalidRequest, 400],
  [NotFound, 404],
  [Conflict, 409],
  [Gone, 410],
  [ConcurrencyError, 422, 'ConcurrencyError'],
  [AsyncRequired, 422, 'AsyncRequired'],
  [MaintenanceInfoConflict, 422, 'MaintenanceInfoConflict'],
  [UnsupportedUpdate, 422, 'PlanChangeNotSupported'],
  [OperationFailed, 500],
  [Unavailable, 503],
  [StillInProgress, 503],
];

const RETRY_SOON = { 'Retry-After': '5' };

/** The only place that turns errors into status codes. What it does not know says nothing of its inside. */
export function toErrorReply(error: unknown): ErrorReply {
  if (error instanceof HttpError) {
    return reply(error.status, undefined, error.message, error.headers);
  }
  if (error instanceof BrokerError) {
    const [, status, code] = REPLIES.find(([kind]) => error instanceof kind) ?? [BrokerError, 500];
    const answer = reply(status, code, error.message, status === 503 ? RETRY_SOON : {});
    // Specification: "Updating", "a failed update might be repeatable"; a plan that can't be left never can be.
    return error instanceof UnsupportedUpdate
      ? { ...answer, body: { ...answer.body, update_repeatable: false } }
      : answer;
  }
  if (error instanceof EtcdError) {
    return { ...reply(503, undefined, describe(error), RETRY_SOON), isFault: true };
  }
  if (error instanceof SessionLost) {
    return reply(
      503,
      undefined,
      'The service broker has lost its session with etcd. Try again in a few seconds.',
      RETRY_SOON,
    );
  }
  if (error instanceof SealError) {
    const text = `${error.message} Ask the operator of the service broker to add that key again.`;
    return { ...reply(500, undefined, text), isFault: true };
  }
  return {
    ...reply(500, undefined, 'The service broker failed. Its log tells the operator why.'),
    isFault: true,
  };
}

function describe(error: EtcdError): string {
  switch (error.kind) {
    case 'no-space':
      return 'The etcd cluster has no space left, so nothing can be created now. Ask its operator to make room: delete what is not needed, compact, defragment and disarm the NOSPACE alarm.';
    case 'denied':
    case 'wrong-password':
      return "The etcd cluster refuses the service broker's user. Ask the operator to check ETCD_USERNAME, ETCD_PASSWORD and that user's root role.";
    default:
      return 'The etcd cluster does not answer. Try again in a few seconds.';
  }
}

function reply(
  status: number,
  code: string | undefined,
  description: string,
  headers: Readonly<Record<string, string>> = {},
): ErrorReply {
  return { status, body: { ...(code ? { error: code } : {}), description }, headers, isFault: false };
}
