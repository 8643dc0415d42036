import { Gone, InvalidRequest } from '../errors.js';
import type { InstanceRecord } from '../model.js';
import { finish, openOperation, operationOf, workOf } from '../operations/operations.js';
import type { BrokerParts } from '../parts.js';
import { ON_INSTANCE } from './exclusion.js';
import { assertChanged, begin, changesAllTheTime, MOST_ROUNDS } from './intent.js';
import { awaitEnd, deletionMode } from './patience.js';
import { conclude, type DeleteAnswer } from './unbind.js';

export interface DeprovisionRequest {
  instance_id: string;
  service_id: string;
  acceptsIncomplete: boolean;
}

/** Why a restore failed whose instance was deleted before it was ready. */
const DELETED = 'The service instance was deleted while its backup was being restored.';

/**
 * Deletes an instance with its bindings, if any are left, and all its keys.
 *
 * Specification: "Deprovisioning".
 * @throws Gone when there is no such instance
 * @throws InvalidRequest when the service is not the instance's
 * @throws AsyncRequired when there are too many keys to delete before the answer is due
 */
export async function deprovision(parts: BrokerParts, request: DeprovisionRequest): Promise<DeleteAnswer> {
  const { records, session, tasks, worker, removal, cache, clusters } = parts;
  const { instance_id, acceptsIncomplete } = request;
  tasks.assertRoom('removal');
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
      const waiting = { acceptsIncomplete, began: false };
      return conclude(await awaitEnd(parts, { instance_id }, work, waiting), work);
    }
    const mode = deletionMode(
      await clusters.of(stored.value).tenantKeys.count(stored.value.deployment_id),
      acceptsIncomplete,
    );
    const operation = openOperation('deprovision', { instance_id }, session.id);
    const deprovisioning = workOf(operation);
    const next: InstanceRecord = { ...stored.value, state: 'deprovisioning', work: deprovisioning };
    const result = await begin(parts, {
      instance: { id: instance_id, expected: stored, next },
      opened: operation,
      ...(work && { finished: [finish(operationOf(work, { instance_id }), 'failed', DELETED)] }),
    });
    if (result === 'no space') {
      cache.set(instance_id, undefined);
      await removal.removeInstanceAtOnce(stored);
      return { kind: 'deleted' };
    }
    if (result.done) {
      cache.set(instance_id, undefined);
      void worker.drive({ instance_id }, { value: next, revision: result.revision });
      if (mode === 'accept') {
        return { kind: 'accepted', operationId: operation.id };
      }
      const waiting = { acceptsIncomplete, began: true };
      return conclude(await awaitEnd(parts, { instance_id }, deprovisioning, waiting), deprovisioning);
    }
    assertChanged(stored, result.instance);
    stored = result.instance;
  }
  throw changesAllTheTime('instance');
}
