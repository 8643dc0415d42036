import { Gone, InvalidRequest } from '../errors.js';
import type { BindingRecord, Stored, Work } from '../model.js';
import { DELETED_MEANWHILE, finish, openOperation, operationOf, workOf } from '../operations/operations.js';
import type { BrokerParts } from '../parts.js';
import { ON_BINDING } from './exclusion.js';
import { assertChanged, begin, changesAllTheTime, MOST_ROUNDS } from './intent.js';
import { awaitEnd } from './patience.js';

export interface UnbindRequest {
  instance_id: string;
  binding_id: string;
  service_id: string;
  acceptsIncomplete: boolean;
}

export type DeleteAnswer = { kind: 'deleted' } | { kind: 'accepted'; operationId: string };

/**
 * Takes a binding's access away. When it answers `deleted`, the credentials do not work any more.
 *
 * A bind that is under way is stopped: the replica that does it turns round and removes what it made, so that
 * never two of them work on one binding. Only when there is no space to write that down its record is taken away.
 *
 * Specification: "Unbinding".
 * @throws Gone when there is no such binding
 * @throws InvalidRequest when the service is not the binding's
 */
export async function unbind(parts: BrokerParts, request: UnbindRequest): Promise<DeleteAnswer> {
  const { records, session, tasks, worker, removal } = parts;
  const { instance_id, binding_id, acceptsIncomplete } = request;
  tasks.assertRoom('removal');
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
    if (ON_BINDING.unbind[binding.state] === 'join' && work !== undefined) {
      return conclude(await awaitEnd(parts, request, work, { acceptsIncomplete, began: false }), work);
    }
    const owner = work?.owner ?? session.id;
    const operation = openOperation('unbind', { instance_id, binding_id }, owner);
    const unbinding = workOf(operation);
    const next: BindingRecord = { ...binding, state: 'unbinding', work: unbinding };
    const result = await begin(parts, {
      binding: { instance_id, binding_id, expected: stored, next },
      opened: operation,
      ...(work && { finished: [finish(operationOf(work, binding), 'failed', DELETED_MEANWHILE)] }),
    });
    if (result === 'no space') {
      await removal.removeBindingAtOnce(stored);
      return { kind: 'deleted' };
    }
    if (result.done) {
      if (owner === session.id) {
        const known: Stored<BindingRecord> = { value: next, revision: result.revision };
        void worker.drive({ instance_id, binding_id }, known);
      }
      return conclude(
        await awaitEnd(parts, request, unbinding, { acceptsIncomplete, began: true }),
        unbinding,
      );
    }
    assertChanged(stored, result.binding);
    stored = result.binding;
  }
  throw changesAllTheTime('binding');
}

/** The answer to a deletion, by what its operation came to. */
export function conclude(ended: object | 'accepted', { operation_id }: Work): DeleteAnswer {
  return ended === 'accepted' ? { kind: 'accepted', operationId: operation_id } : { kind: 'deleted' };
}
