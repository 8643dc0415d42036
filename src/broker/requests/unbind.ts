import { ConcurrencyError, Gone, InvalidRequest, NoSpace, Unavailable } from '../errors.js';
import type { BindingRecord, Stored } from '../model.js';
import { finish, openOperation, operationOf, workOf } from '../operations/operations.js';
import type { BrokerParts } from '../parts.js';
import type { ChangeResult, RecordChange } from '../ports.js';
import { ON_BINDING } from './exclusion.js';
import { awaitEnd, type Waiting } from './patience.js';

export interface UnbindRequest {
  instance_id: string;
  binding_id: string;
  service_id: string;
  acceptsIncomplete: boolean;
}

export type DeleteAnswer = { kind: 'deleted' } | { kind: 'accepted'; operationId: string };

const MOST_ROUNDS = 10;

/**
 * Takes a binding's access away. When it answers `deleted`, the credentials do not work any more.
 *
 * A bind that is under way is stopped: the replica that does it turns round and removes what it made, so that
 * never two of them work on one binding.
 *
 * Specification: "Unbinding".
 * @throws Gone when there is no such binding
 * @throws InvalidRequest when the service is not the binding's
 */
export async function unbind(parts: BrokerParts, request: UnbindRequest): Promise<DeleteAnswer> {
  const { records, session, worker } = parts;
  const { instance_id, binding_id } = request;
  worker.assertRoom();
  let stored = await records.readBinding(instance_id, binding_id);
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    if (stored === undefined) {
      if (await records.markGone(instance_id, binding_id)) {
        throw new Gone('The service binding does not exist.');
      }
      stored = await records.readBinding(instance_id, binding_id);
      continue;
    }
    const { work, ...binding } = stored.value;
    if (binding.attributes.service_id !== request.service_id) {
      throw new InvalidRequest('service_id must be that of the service binding.');
    }
    const meeting = ON_BINDING.unbind[binding.state];
    if (meeting === 'join') {
      return conclude(parts, stored.value, { acceptsIncomplete: request.acceptsIncomplete, began: false });
    }
    const owner = work?.owner ?? session.id;
    const operation = openOperation('unbind', { instance_id, binding_id }, owner);
    const next: BindingRecord = { ...binding, state: 'unbinding', work: workOf(operation) };
    const change: RecordChange = {
      binding: { instance_id, binding_id, expected: stored, next },
      opened: operation,
      ...(work === undefined ? {} : { finished: [finish(operationOf(work, binding), 'failed', STOPPED)] }),
    };
    const result = await begin(parts, change);
    if (result === 'no space') {
      await worker.removeBindingAtOnce(stored);
      return { kind: 'deleted' };
    }
    if (result.done) {
      if (owner === session.id) {
        const known: Stored<BindingRecord> = { value: next, revision: result.revision };
        void worker.drive({ instance_id, binding_id }, known);
      }
      return conclude(parts, next, { acceptsIncomplete: request.acceptsIncomplete, began: true });
    }
    worker.assertChanged(stored, result.binding);
    stored = result.binding;
  }
  throw new Unavailable('The service binding changes all the time. Try again in a few seconds.');
}

/** Writes the intent of a removal, if there is room for it. */
export async function begin(
  { records }: BrokerParts,
  change: RecordChange,
): Promise<ChangeResult | 'no space'> {
  try {
    return await records.change(change);
  } catch (error) {
    if (error instanceof NoSpace) {
      return 'no space';
    }
    throw error;
  }
}

const STOPPED = 'The binding was deleted while it was being made.';

async function conclude(parts: BrokerParts, binding: BindingRecord, waiting: Waiting): Promise<DeleteAnswer> {
  const operationId = binding.work?.operation_id;
  if (operationId === undefined) {
    throw new ConcurrencyError();
  }
  const task = parts.worker.runningTask(binding);
  const outcome = await awaitEnd(parts, binding, operationId, task, waiting);
  return outcome === 'accepted' ? { kind: 'accepted', operationId } : { kind: 'deleted' };
}
