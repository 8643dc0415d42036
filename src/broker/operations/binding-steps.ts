import type { Secret } from '../../credentials/secret.js';
import type { BindingRecord, OperationRecord, Stored } from '../model.js';
import type { AccessControl, BeforeStep, Records, Seals } from '../ports.js';
import { finish, operationOf } from './operations.js';

export interface BindingStepParts {
  records: Records;
  access: AccessControl;
  seals: Seals;
}

/** What a step came to: the operation's end, or the record as it is now (undefined when it is gone). */
export type StepOutcome<T> = { ended: OperationRecord } | { current: Stored<T> | undefined };

/**
 * Does what the state of a binding demands: makes its access and marks it ready, or takes its access away and deletes
 * it. Each part can be repeated.
 */
export async function stepBinding(
  { access, records, seals }: BindingStepParts,
  stored: Stored<BindingRecord>,
  before: BeforeStep,
): Promise<StepOutcome<BindingRecord>> {
  const { work, ...rest } = stored.value;
  if (work === undefined) {
    return { current: undefined };
  }
  const operation = operationOf(work, rest);
  const place = { instance_id: rest.instance_id, binding_id: rest.binding_id, expected: stored };
  if (rest.state === 'binding') {
    let password: Secret;
    try {
      password = seals.open(rest.sealed_password, rest.username);
    } catch (error) {
      // The credentials were never handed out, so the bind is taken back rather than left hanging.
      return { current: await turnBack(records, stored, (error as Error).message) };
    }
    await access.grant(rest, password, before);
    before();
    const next: BindingRecord = { ...rest, state: 'ready' };
    const ended = finish(operation, 'succeeded');
    const result = await records.change({ binding: { ...place, next }, finished: [ended] });
    return result.done ? { ended } : { current: result.binding };
  }
  await access.revoke(rest, before);
  before();
  const ended = finish(operation, work.failure === undefined ? 'succeeded' : 'failed', work.failure);
  const result = await records.change({ binding: { ...place, next: null }, finished: [ended] });
  return result.done ? { ended } : { current: result.binding };
}

/** Turns a bind that can not be finished into its own removal. */
async function turnBack(
  records: Records,
  stored: Stored<BindingRecord>,
  failure: string,
): Promise<Stored<BindingRecord> | undefined> {
  const { work, ...rest } = stored.value;
  if (work === undefined) {
    return undefined;
  }
  const next: BindingRecord = { ...rest, state: 'unbinding', work: { ...work, failure } };
  const { instance_id, binding_id } = rest;
  const result = await records.change({
    binding: { instance_id, binding_id, expected: stored, next },
  });
  return result.done ? { value: next, revision: result.revision } : result.binding;
}
