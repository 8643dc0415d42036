import {
  AsyncRequired,
  type BrokerError,
  ClusterUnavailable,
  ConcurrencyError,
  Conflict,
  Gone,
  InvalidRequest,
  MaintenanceInfoConflict,
  NotFound,
  OperationFailed,
  SealError,
  StillInProgress,
  Unavailable,
  UnsupportedUpdate,
} from '../../broker/errors.js';

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

interface Answer {
  kind: abstract new (...args: never[]) => BrokerError;
  status: number;
  /** The specification's "Error Codes". */
  code?: string;
  headers?: Readonly<Record<string, string>>;
  isFault?: boolean;
  /** Said after the error's own message. */
  advice?: string;
}

const RETRY_SOON = { 'Retry-After': '5' };

/** How each error is answered. The first that fits counts. */
const ANSWERS: readonly Answer[] = [
  { kind: InvalidRequest, status: 400 },
  { kind: NotFound, status: 404 },
  { kind: Conflict, status: 409 },
  { kind: Gone, status: 410 },
  { kind: ConcurrencyError, status: 422, code: 'ConcurrencyError' },
  { kind: AsyncRequired, status: 422, code: 'AsyncRequired' },
  { kind: MaintenanceInfoConflict, status: 422, code: 'MaintenanceInfoConflict' },
  { kind: UnsupportedUpdate, status: 422, code: 'PlanChangeNotSupported' },
  { kind: OperationFailed, status: 500 },
  {
    kind: SealError,
    status: 500,
    isFault: true,
    advice: 'Ask the operator of the service broker to add that key again.',
  },
  { kind: ClusterUnavailable, status: 503, headers: RETRY_SOON, isFault: true },
  { kind: Unavailable, status: 503, headers: RETRY_SOON },
  { kind: StillInProgress, status: 503, headers: RETRY_SOON },
];

/** The only place that turns errors into status codes. What it does not know says nothing of its inside. */
export function toErrorReply(error: unknown): ErrorReply {
  if (error instanceof HttpError) {
    const { status, message, headers } = error;
    return { status, body: { description: message }, headers, isFault: false };
  }
  const answer = ANSWERS.find(({ kind }) => error instanceof kind);
  if (answer === undefined) {
    const description = 'The service broker failed. Its log tells the operator why.';
    return { status: 500, body: { description }, headers: {}, isFault: true };
  }
  const { status, code, headers = {}, isFault = false, advice } = answer;
  const { message } = error as BrokerError;
  const body: ErrorReply['body'] = {
    ...(code === undefined ? {} : { error: code }),
    description: advice === undefined ? message : `${message} ${advice}`,
    // Specification: "Updating", "a failed update might be repeatable"; a plan that can't be left never can be.
    ...(error instanceof UnsupportedUpdate ? { update_repeatable: false } : {}),
  };
  return { status, body, headers, isFault };
}
