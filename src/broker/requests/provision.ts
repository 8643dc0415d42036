import { randomBytes } from 'node:crypto';
import { AsyncRequired, ConcurrencyError, Conflict, InvalidRequest } from '../errors.js';
import type { BackupSource, InstanceRecord, JsonObject } from '../model.js';
import { finish, openOperation } from '../operations/operations.js';
import { restoringFrom } from '../operations/restoring.js';
import type { BrokerParts } from '../parts.js';
import { ANSWER_WITHIN_MS } from '../times.js';
import { type InstanceAttributes, sameInstance } from './compare.js';
import { ON_INSTANCE } from './exclusion.js';

export interface ProvisionRequest extends InstanceAttributes {
  instance_id: string;
  acceptsIncomplete: boolean;
  context: JsonObject;
  maintenance_version?: string;
  /** Aborted when the platform has gone away. */
  signal?: AbortSignal;
}

export type ProvisionAnswer =
  | { kind: 'created' | 'exists'; instance: InstanceRecord }
  | { kind: 'accepted'; instance: InstanceRecord; operationId: string };

/**
 * Makes an instance: one transaction, since a deployment's key prefix needs nothing made in etcd. So it exists
 * wholly or not at all, whatever happens. Where a backup is to be restored into it, a task does that afterwards.
 *
 * Specification: "Provisioning".
 * @throws Conflict when the id is taken by an instance with other attributes
 * @throws ConcurrencyError while the instance is being deleted
 * @throws InvalidRequest when there is no such backup
 * @throws AsyncRequired for a restore that the platform does not wait for
 */
export async function provision(parts: BrokerParts, request: ProvisionRequest): Promise<ProvisionAnswer> {
  const { instance_id, signal, acceptsIncomplete, ...attributes } = request;
  const source = await sourceOf(parts, request);
  if (source === 'exists') {
    return answerFor(request, (await parts.records.readInstance(instance_id))?.value);
  }
  const operation = openOperation('provision', { instance_id }, parts.session.id);
  const ready: InstanceRecord = {
    schema: 1,
    instance_id,
    state: 'ready',
    deployment_id: randomBytes(12).toString('hex'),
    cluster: parts.clusters.forNewInstance().id,
    ...attributes,
    created_at: operation.started_at,
    updated_at: operation.started_at,
  };
  const next = source === undefined ? ready : restoringFrom(ready, operation, source);
  const result = await parts.records.change({
    instance: { id: instance_id, expected: undefined, next },
    until: performance.now() + ANSWER_WITHIN_MS,
    ...(signal && { signal }),
    ...(source === undefined ? { finished: [finish(operation, 'succeeded')] } : { opened: operation }),
  });
  if (!result.done) {
    return answerFor(request, result.instance?.value);
  }
  if (source === undefined) {
    parts.cache.set(instance_id, { value: next, revision: result.revision });
    return { kind: 'created', instance: next };
  }
  void parts.worker.drive({ instance_id }, { value: next, revision: result.revision });
  return { kind: 'accepted', instance: next, operationId: operation.id };
}

/** What a repeated request is told. */
function answerFor(request: ProvisionRequest, existing: InstanceRecord | undefined): ProvisionAnswer {
  const { instance_id: _, signal: __, acceptsIncomplete, ...attributes } = request;
  // When it was deleted between the two, that is an operation under way as well.
  if (existing === undefined || ON_INSTANCE.provision[existing.state] === 'refuse') {
    throw new ConcurrencyError();
  }
  if (!sameInstance(existing, attributes)) {
    throw new Conflict(
      'A service instance with this id exists with another plan, organization, space or other parameters.',
    );
  }
  if (existing.work === undefined) {
    return { kind: 'exists', instance: existing };
  }
  if (!acceptsIncomplete) {
    throw new ConcurrencyError();
  }
  return { kind: 'accepted', instance: existing, operationId: existing.work.operation_id };
}

/** The backup that a request asks for; `exists` where it is a repetition, whose backup may be gone by now. */
async function sourceOf(
  { records, backups, tasks }: BrokerParts,
  { instance_id, service_id, plan_id, parameters, acceptsIncomplete, ...owner }: ProvisionRequest,
): Promise<BackupSource | 'exists' | undefined> {
  const { source_service_instance_id: source, backup_id: backup } = parameters;
  if (source === undefined && backup === undefined) {
    return undefined;
  }
  if (typeof source !== 'string' || typeof backup !== 'string') {
    throw new InvalidRequest(
      'Bad parameters: source_service_instance_id and backup_id belong together; give both, or leave both out.',
    );
  }
  if ((await records.readInstance(instance_id)) !== undefined) {
    return 'exists';
  }
  if (backups === undefined) {
    throw new InvalidRequest(
      'Bad parameters: backup_id needs backups, and this service broker makes none; leave it out.',
    );
  }
  if (!acceptsIncomplete) {
    throw new AsyncRequired();
  }
  tasks.assertRoom('creation');
  const found = await backups.find(source, backup, owner);
  if (found === undefined) {
    // Whether it exists elsewhere is nobody's business here.
    throw new InvalidRequest(
      'Bad parameters: source_service_instance_id and backup_id name no backup of a service instance in this space.',
    );
  }
  return found;
}
