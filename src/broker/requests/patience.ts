import { AsyncRequired, ConcurrencyError, StillInProgress } from '../errors.js';
import type { Resource } from '../operations/operations.js';
import type { Ended } from '../operations/worker.js';
import type { BrokerParts } from '../parts.js';

/**
 * When to answer: the one place that knows how long a request waits for its operation.
 *
 * An operation runs by itself, apart from the request that asked for it. The request waits a while for its end;
 * then it answers 202 if the platform accepts that, and otherwise tells it that the operation goes on. The
 * platform's own time-out is 60 s; a user who waits at a terminal is lost long before.
 */

/** A platform that accepts 202 gets it after so many milliseconds. */
export const ACCEPTED_AFTER_MS = 3_000;
/** A platform that does not is answered after so many milliseconds at the latest. */
export const ANSWER_WITHIN_MS = 8_500;
/** Deleting more keys than this is answered with 202 at once where the platform accepts that. */
export const QUICKLY_DELETED_KEYS = 20_000;
/** Deleting more keys than this may not end before the answer is due. */
export const SYNCHRONOUSLY_DELETED_KEYS = 200_000;

const POLL_MS = 100;

/** Whether deleting so many keys waits for its end, goes on after a 202, or can not be done as it was asked. */
export function deletionMode(keys: number, acceptsIncomplete: boolean): 'wait' | 'accept' {
  if (keys <= QUICKLY_DELETED_KEYS) {
    return 'wait';
  }
  if (acceptsIncomplete) {
    return 'accept';
  }
  if (keys <= SYNCHRONOUSLY_DELETED_KEYS) {
    return 'wait';
  }
  throw new AsyncRequired();
}

export interface Waiting {
  acceptsIncomplete: boolean;
  /** Whether this request began the operation; another one that asks for the same only joins it. */
  began: boolean;
}

/**
 * Waits for the end of an operation.
 * @param task its task, if it runs in this replica
 * @returns how it ended, or `accepted` when the answer is to be 202
 * @throws StillInProgress or ConcurrencyError when it goes on and the platform does not take a 202
 */
export async function awaitEnd(
  parts: BrokerParts,
  resource: Resource,
  operationId: string,
  task: Promise<Ended | undefined> | undefined,
  { acceptsIncomplete, began }: Waiting,
): Promise<Ended | 'accepted'> {
  const until = performance.now() + (acceptsIncomplete ? ACCEPTED_AFTER_MS : ANSWER_WITHIN_MS);
  let ended = task && (await withTimeout(task, until));
  while (ended?.operation_id !== operationId) {
    const remaining = until - performance.now();
    if (remaining <= 0) {
      break;
    }
    const record = await withTimeout(
      // A read that fails is no reason to give up a wait: the next one may tell, or the time is up.
      parts.records
        .readOperation(resource.instance_id, resource.binding_id, operationId)
        .catch(() => undefined),
      until,
    );
    if (record !== undefined && record.state !== 'in progress') {
      ended = { operation_id: operationId, state: record.state, description: record.description };
    } else {
      await new Promise((resolve) => setTimeout(resolve, Math.min(POLL_MS, remaining)));
    }
  }
  if (ended?.operation_id === operationId) {
    return ended;
  }
  if (acceptsIncomplete) {
    return 'accepted';
  }
  throw began
    ? new StillInProgress(
        'The cluster is slow: the operation goes on. Repeat the request in a minute to see its end.',
      )
    : new ConcurrencyError();
}

/** The promise's value, or undefined when the time (on the monotonic clock) comes first. */
async function withTimeout<T>(promise: Promise<T>, until: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), Math.max(0, until - performance.now()));
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
