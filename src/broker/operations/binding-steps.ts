import type { Secret } from '../../credentials/secret.js';
import { NoSpace } from '../errors.js';
import type { BindingRecord, OperationRecord, Stored, Work } from '../model.js';
import type { BeforeStep, Clusters, Records, Seals } from '../ports.js';
import { finish, operationOf } from './operations.js';

export interface BindingStepParts {
  records: Records;
  clusters: Clusters;
  seals: Seals;
}

/** What a step came to: the operation's end, or the record as it is now (undefined when it is gone). */
export type StepOutcome<T> = { ended: OperationRecord } | { current: Stored<T> | undefined };

const NO_SPACE = 'The etcd cluster has no space left. Ask its operator to make room.';

/**
 * Does what the state of a binding demands: makes its access and marks it ready, or takes its access away and deletes
 * it. Each part can be repeated.
 */
export async function stepBinding(
  parts: BindingStepParts,
  stored: Stored<BindingRecord>,
  before: BeforeStep,
): Promise<StepOutcome<BindingRecord>> {
  const { work, state } = stored.value;
  if (work === undefined) {
    return { current: undefined };
  }
  if (state !== 'binding') {
    return remove(parts, stored, work, before);
  }
  try {
    return await make(parts, stored, work, before);
  } catch (error) {
    if (!(error instanceof NoSpace)) {
      throw error;
    }
    // Neither its end nor the intent to remove it can be written. To wait for room would block those who make room.
    return remove(parts, stored, { ...work, failure: NO_SPACE }, before);
  }
}

async function make(
  { clusters, records, seals }: BindingStepParts,
  stored: Stored<BindingRecord>,
  work: Work,
  before: BeforeStep,
): Promise<StepOutcome<BindingRecord>> {
  const { work: _, ...rest } = stored.value;
  let password: Secret;
  try {
    password = seals.open(rest.sealed_password, rest.username);
  } catch (error) {
    // The credentials were never handed out, so the bind is taken back rather than left hanging.
    const failure = (error as Error).message;
    const next: BindingRecord = { ...rest, state: 'unbinding', work: { ...work, failure } };
    const result = await records.change({ binding: { ...placeOf(stored), next } });
    return { current: result.done ? { value: next, revision: result.revision } : result.binding };
  }
  await clusters.of(rest).access.grant(rest, password, before);
  before();
  const ended = finish(operationOf(work, rest), 'succeeded');
  const next: BindingRecord = { ...rest, state: 'ready' };
  const result = await records.change({ binding: { ...placeOf(stored), next }, finished: [ended] });
  return result.done ? { ended } : { current: result.binding };
}

async function remove(
  { clusters, records }: BindingStepParts,
  stored: Stored<BindingRecord>,
  work: Work,
  before: BeforeStep,
): Promise<StepOutcome<BindingRecord>> {
  await clusters.of(stored.value).access.revoke(stored.value, before);
  before();
  const operation = operationOf(work, stored.value);
  const ended = finish(operation, work.failure === undefined ? 'succeeded' : 'failed', work.failure);
  const result = await records.change({ binding: { ...placeOf(stored), next: null }, finished: [ended] });
  return result.done ? { ended } : { current: result.binding };
}

function placeOf(stored: Stored<BindingRecord>) {
  const { instance_id, binding_id } = stored.value;
  return { instance_id, binding_id, expected: stored };
}
