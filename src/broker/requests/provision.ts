import { randomBytes } from 'node:crypto';
import { ConcurrencyError, Conflict } from '../errors.js';
import type { InstanceRecord, JsonObject } from '../model.js';
import { finish, openOperation } from '../operations/operations.js';
import type { BrokerParts } from '../parts.js';
import { ANSWER_WITHIN_MS } from '../times.js';
import { type InstanceAttributes, sameInstance } from './compare.js';
import { ON_INSTANCE } from './exclusion.js';

export interface ProvisionRequest extends InstanceAttributes {
  instance_id: string;
  context: JsonObject;
  maintenance_version?: string;
  /** Aborted when the platform has gone away. */
  signal?: AbortSignal;
}

/**
 * Makes an instance: one transaction, since a deployment's key prefix needs nothing made in etcd. So it exists
 * wholly or not at all, whatever happens.
 *
 * Specification: "Provisioning".
 * @throws Conflict when the id is taken by an instance with other attributes
 * @throws ConcurrencyError while the instance is being deleted
 */
export async function provision(
  parts: BrokerParts,
  request: ProvisionRequest,
): Promise<{ created: boolean; instance: InstanceRecord }> {
  const { instance_id, signal, ...attributes } = request;
  const operation = openOperation('provision', { instance_id }, parts.session.id);
  const next: InstanceRecord = {
    schema: 1,
    instance_id,
    state: 'ready',
    deployment_id: randomBytes(12).toString('hex'),
    cluster: parts.clusters.forNewInstance().id,
    ...attributes,
    created_at: operation.started_at,
    updated_at: operation.started_at,
  };
  const result = await parts.records.change({
    instance: { id: instance_id, expected: undefined, next },
    until: performance.now() + ANSWER_WITHIN_MS,
    ...(signal && { signal }),
    finished: [finish(operation, 'succeeded')],
  });
  if (result.done) {
    parts.cache.set(instance_id, { value: next, revision: result.revision });
    return { created: true, instance: next };
  }
  const existing = result.instance?.value;
  // When it was deleted between the two, that is an operation under way as well.
  if (existing === undefined || ON_INSTANCE.provision[existing.state] === 'refuse') {
    throw new ConcurrencyError();
  }
  if (!sameInstance(existing, attributes)) {
    throw new Conflict(
      'A service instance with this id exists with another plan, organization, space or other parameters.',
    );
  }
  return { created: false, instance: existing };
}
