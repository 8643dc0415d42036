import { Gone, InvalidRequest, Unavailable } from '../errors.js';
import type { InstanceRecord, Stored } from '../model.js';
import { openOperation, workOf } from '../operations/operations.js';
import type { BrokerParts } from '../parts.js';
import { ON_INSTANCE } from './exclusion.js';
import { awaitEnd, deletionMode } from './patience.js';
import { begin, type DeleteAnswer } from './unbind.js';

export interface DeprovisionRequest {
  instance_id: string;
  service_id: string;
  acceptsIncomplete: boolean;
}

const MOST_ROUNDS = 10;

/**
 * Deletes an instance with its bindings, if any are left, and all its keys.
 *
 * Specification: "Deprovisioning".
 * @throws Gone when there is no such instance
 * @throws InvalidRequest when the service is not the instance's
 * @throws AsyncRequired when there are too many keys to delete before the answer is due
 */
export async function deprovision(parts: BrokerParts, request: DeprovisionRequest): Promise<DeleteAnswer> {
  const { records, session, worker, cache, tenantKeys } = parts;
  const { instance_id, acceptsIncomplete } = request;
  worker.assertRoom();
  let stored = await records.readInstance(instance_id);
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    if (stored === undefined) {
      if (await records.markGone(instance_id)) {
        throw new Gone('The service instance does not exist.');
      }
      stored = await records.readInstance(instance_id);
      continue;
    }
    if (stored.value.service_id !== request.service_id) {
      throw new InvalidRequest('service_id must be that of the service instance.');
    }
    const { work } = stored.value;
    if (ON_INSTANCE.deprovision[stored.value.state] === 'join' && work !== undefined) {
      const task = worker.runningTask({ instance_id });
      const waiting = { acceptsIncomplete, began: false };
      const outcome = await awaitEnd(parts, { instance_id }, work.operation_id, task, waiting);
      return outcome === 'accepted'
        ? { kind: 'accepted', operationId: work.operation_id }
        : { kind: 'deleted' };
    }
    const mode = deletionMode(await tenantKeys.count(stored.value.deployment_id), acceptsIncomplete);
    const operation = openOperation('deprovision', { instance_id }, session.id);
    const next: InstanceRecord = { ...stored.value, state: 'deprovisioning', work: workOf(operation) };
    const result = await begin(parts, {
      instance: { id: instance_id, expected: stored, next },
      opened: operation,
    });
    if (result === 'no space') {
      cache.set(instance_id, undefined);
      await worker.removeInstanceAtOnce(stored);
      return { kind: 'deleted' };
    }
    if (result.done) {
      cache.set(instance_id, undefined);
      const known: Stored<InstanceRecord> = { value: next, revision: result.revision };
      const task = worker.drive({ instance_id }, known);
      if (mode === 'accept') {
        return { kind: 'accepted', operationId: operation.id };
      }
      const waiting = { acceptsIncomplete, began: true };
      const outcome = await awaitEnd(parts, { instance_id }, operation.id, task, waiting);
      return outcome === 'accepted' ? { kind: 'accepted', operationId: operation.id } : { kind: 'deleted' };
    }
    worker.assertChanged(stored, result.instance);
    stored = result.instance;
  }
  throw new Unavailable('The service instance changes all the time. Try again in a few seconds.');
}
