import { randomBytes } from 'node:crypto';
import {
  BrokerError,
  ConcurrencyError,
  Conflict,
  InvalidRequest,
  NotFound,
  OperationFailed,
  Unavailable,
} from '../errors.js';
import type { BindingAttributes, BindingRecord, InstanceRecord, OperationRecord } from '../model.js';
import { type Ended, openOperation, workOf } from '../operations/operations.js';
import type { BrokerParts } from '../parts.js';
import { keySpacePrefix } from '../tenant-prefix.js';
import { ANSWER_WITHIN_MS } from '../times.js';
import { type BindParameters, bindParameters } from './bind-parameters.js';
import { sameBinding } from './compare.js';
import { ON_BINDING, ON_INSTANCE } from './exclusion.js';
import { expiryFrom } from './expiry.js';
import { assertChanged, changesAllTheTime, MOST_ROUNDS } from './intent.js';
import { awaitEnd } from './patience.js';
import { newPassword } from './rotate-password.js';
import { newestLive, readPredecessor, rotatedApplication } from './rotation.js';

export interface BindRequest {
  instance_id: string;
  binding_id: string;
  attributes: BindingAttributes;
  acceptsIncomplete: boolean;
  /** Aborted when the platform has gone away. */
  signal?: AbortSignal;
}

export type BindAnswer =
  | { kind: 'created' | 'exists'; binding: BindingRecord }
  | { kind: 'accepted'; operationId: string };

/**
 * Makes a binding: its role, its user and its permission on a key space.
 *
 * Specification: "Binding" and "Binding Rotation".
 * @throws NotFound when the instance does not exist
 * @throws InvalidRequest when the plan is not the instance's, a parameter is none that the broker can keep, or the
 *   predecessor can not be succeeded
 * @throws Conflict when the id is taken by a binding with other attributes
 * @throws ConcurrencyError while the instance or the binding is being deleted, or when it was deleted meanwhile
 */
export async function bind(parts: BrokerParts, request: BindRequest): Promise<BindAnswer> {
  try {
    return await create(parts, request);
  } catch (error) {
    if (!(error instanceof Refused)) {
      throw error;
    }
    // What exists is compared first: it may be older than the plan, the predecessor's end or the alarm.
    const existing = await parts.records.readBinding(request.instance_id, request.binding_id);
    if (existing === undefined) {
      throw error.reason;
    }
    return repeat(parts, request, existing.value);
  }
}

/** Why no binding can be made; one that exists is answered all the same. */
class Refused extends Error {
  constructor(readonly reason: BrokerError) {
    super(reason.message);
  }
}

async function create(parts: BrokerParts, request: BindRequest): Promise<BindAnswer> {
  const { records, cache, session, tasks, worker } = parts;
  const { instance_id, binding_id, attributes, acceptsIncomplete, signal } = request;
  const until = performance.now() + ANSWER_WITHIN_MS;
  tasks.assertRoom('creation');
  let isFresh = cache.get(instance_id) === undefined;
  let instance = cache.get(instance_id) ?? (await records.readInstance(instance_id));
  let application = rotatedApplication(attributes);
  let model = await readPredecessor(records, request).catch(refuse);
  const { parameters } = model?.attributes ?? attributes;
  const wanted = bindParameters(parameters);
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    // An instance from the cache may be long gone or changed; a refusal is only given on a fresh one.
    if (!isFresh && (instance === undefined || !isBindable(instance.value, attributes))) {
      instance = await records.readInstance(instance_id);
      isFresh = true;
    }
    if (instance === undefined) {
      throw new NotFound('The service instance does not exist. Create it before binding to it.');
    }
    if (ON_INSTANCE.bind[instance.value.state] === 'refuse') {
      throw new ConcurrencyError();
    }
    if (!isBindable(instance.value, attributes)) {
      throw new Refused(new InvalidRequest('service_id and plan_id must be those of the service instance.'));
    }
    const { alarm } = parts.clusters.of(instance.value);
    if (alarm !== undefined) {
      throw new Refused(new Unavailable(alarm));
    }
    const operation = openOperation('bind', { instance_id, binding_id }, session.id);
    const next = await newBinding(parts, instance.value, { ...attributes, parameters }, operation, {
      ...wanted,
      ...(model && {
        key_space: model.key_space,
        access: model.access,
        administration: model.administration,
      }),
    });
    const result = await records.change({
      instance: { id: instance_id, expected: instance },
      binding: { instance_id, binding_id, expected: undefined, next },
      opened: operation,
      until,
      ...(signal && { signal }),
      ...(application && { unlessBound: application }),
    });
    if (result.done) {
      cache.set(instance_id, instance);
      void worker.drive({ instance_id, binding_id }, { value: next, revision: result.revision });
      const waiting = { acceptsIncomplete, began: true };
      const ended = await awaitEnd(parts, next, workOf(operation), waiting);
      return conclude(ended, operation.id, 'created', next);
    }
    if (result.binding !== undefined) {
      return repeat(parts, request, result.binding.value);
    }
    if (result.overtaken) {
      throw new ConcurrencyError();
    }
    if (application !== undefined && result.siblings !== undefined) {
      model = await newestLive(records, instance_id, result.siblings);
      application = undefined;
    } else {
      assertChanged(instance, result.instance);
    }
    instance = result.instance;
    cache.set(instance_id, instance);
    isFresh = true;
  }
  throw changesAllTheTime('instance');
}

/** Answers a bind request whose binding id is taken. */
async function repeat(
  parts: BrokerParts,
  request: BindRequest,
  existing: BindingRecord,
): Promise<BindAnswer> {
  const { acceptsIncomplete, attributes } = request;
  if (ON_BINDING.bind[existing.state] === 'refuse') {
    throw new ConcurrencyError();
  }
  const inherited =
    attributes.predecessor_binding_id === undefined ? {} : { parameters: existing.attributes.parameters };
  if (!sameBinding(existing.attributes, { ...attributes, ...inherited })) {
    throw new Conflict(
      'A service binding with this id exists with another plan, application or other parameters.',
    );
  }
  const { work } = existing;
  if (work === undefined) {
    return { kind: 'exists', binding: existing };
  }
  const ended = await awaitEnd(parts, existing, work, { acceptsIncomplete, began: false });
  return conclude(ended, work.operation_id, 'exists', existing);
}

function conclude(
  ended: Ended | 'accepted',
  operationId: string,
  kind: 'created' | 'exists',
  binding: BindingRecord,
): BindAnswer {
  if (ended === 'accepted') {
    return { kind: 'accepted', operationId };
  }
  if (ended.state === 'failed') {
    throw new OperationFailed(ended.description);
  }
  return { kind, binding };
}

function isBindable(instance: InstanceRecord, { service_id, plan_id }: BindingAttributes): boolean {
  return (
    ON_INSTANCE.bind[instance.state] === 'run' &&
    instance.service_id === service_id &&
    instance.plan_id === plan_id
  );
}

function refuse(error: unknown): never {
  throw error instanceof BrokerError ? new Refused(error) : error;
}

/** The record of a new binding, with the names of all that will exist in etcd for it. */
async function newBinding(
  { seals, clock }: BrokerParts,
  { deployment_id, cluster }: InstanceRecord,
  attributes: BindingAttributes,
  operation: OperationRecord,
  { key_space, access, expires_in, administration }: BindParameters,
): Promise<BindingRecord> {
  const unique = randomBytes(8).toString('hex');
  const name = `d-${deployment_id}-${unique}`;
  const keySpace = key_space ?? `_${unique}`;
  const password = newPassword();
  return {
    schema: 1,
    instance_id: operation.instance_id,
    binding_id: operation.binding_id as string,
    state: 'binding',
    deployment_id,
    ...(cluster === undefined ? {} : { cluster }),
    attributes,
    role: name,
    username: name,
    key_space: keySpace,
    key_prefix: keySpacePrefix(deployment_id, keySpace),
    access,
    ...(expires_in !== undefined && { expiry: expiryFrom(expires_in, await clock.now(), Date.now()) }),
    sealed_password: seals.seal(password, name),
    ...(administration && { administration }),
    created_at: operation.started_at,
    work: workOf(operation),
  };
}
