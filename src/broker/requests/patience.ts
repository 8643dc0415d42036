import { sleep, withTimeout } from '../../timing.js';
import { AsyncRequired, ConcurrencyError, StillInProgress } from '../errors.js';
import type { BindingRecord, InstanceRecord, Stored, Work } from '../model.js';
import { type Ended, endWithRecord, type Resource } from '../operations/operations.js';
import type { BrokerParts } from '../parts.js';
import type { Records } from '../ports.js';
import { ACCEPTED_AFTER_MS, ANSWER_WITHIN_MS, POLL_MS } from '../times.js';

/**
 * When to answer: the one place that knows how long a request waits for its operation.
 *
 * An operation runs by itself, apart from the request that asked for it. The request waits a while for its end;
 * then it answers 202 if the platform accepts that, and otherwise tells it that the operation goes on. The
 * platform's own time-out is 60 s; a user who waits at a terminal is lost long before.
 */

/** Deleting more keys than this is answered with 202 at once where the platform accepts that. */
export const QUICKLY_DELETED_KEYS = 20_000;
/** Deleting more keys than this may not end before the answer is due. */
export const SYNCHRONOUSLY_DELETED_KEYS = 200_000;

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
 * Waits for the end of an operation, wherever it runs.
 * @returns how it ended, or `accepted` when the answer is to be 202
 * @throws StillInProgress or ConcurrencyError when it goes on and the platform does not take a 202
 */
export async function awaitEnd(
  { records, tasks }: Pick<BrokerParts, 'records' | 'tasks'>,
  { instance_id, binding_id }: Resource,
  work: Work,
  { acceptsIncomplete, began }: Waiting,
): Promise<Ended | 'accepted'> {
  const resource = { instance_id, ...(binding_id === undefined ? {} : { binding_id }) };
  const until = performance.now() + (acceptsIncomplete ? ACCEPTED_AFTER_MS : ANSWER_WITHIN_MS);
  const remaining = () => until - performance.now();
  const task = tasks.endOf(resource);
  let ended = task && (await withTimeout(task, remaining()));
  while (ended?.operation_id !== work.operation_id && remaining() > 0) {
    // A read that fails is no reason to give up a wait: the next one may tell, or the time is up.
    ended = await withTimeout(
      readEnd(records, resource, work).catch(() => undefined),
      remaining(),
    );
    if (ended === undefined) {
      await sleep(Math.min(POLL_MS, Math.max(0, remaining())));
    }
  }
  if (ended?.operation_id === work.operation_id) {
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

/** How an operation has ended; undefined while it goes on. */
async function readEnd(records: Records, resource: Resource, work: Work): Promise<Ended | undefined> {
  const { instance_id, binding_id } = resource;
  const operation = await records.readOperation(instance_id, binding_id, work.operation_id);
  if (operation !== undefined) {
    const { state, description } = operation;
    return state === 'in progress' ? undefined : { operation_id: work.operation_id, state, description };
  }
  // When etcd has no space left, what ends leaves no trace but in the record itself.
  const stored =
    binding_id === undefined
      ? await records.readInstance(instance_id)
      : await records.readBinding(instance_id, binding_id);
  return endByRecord(work, stored);
}

/** How an operation that is not remembered has ended, by what has become of the record. */
export function endByRecord(
  work: Work,
  stored: Stored<InstanceRecord | BindingRecord> | undefined,
): Ended | undefined {
  if (stored?.value.work?.operation_id === work.operation_id) {
    return undefined;
  }
  if (work.kind === 'bind' && stored?.value.state === 'ready') {
    return { operation_id: work.operation_id, state: 'succeeded', description: 'bind succeeded' };
  }
  return endWithRecord(work);
}
