import { randomBytes } from 'node:crypto';
import { Secret } from '../../credentials/secret.js';
import {
  ConcurrencyError,
  Conflict,
  InvalidRequest,
  NotFound,
  OperationFailed,
  Unavailable,
} from '../errors.js';
import type { BindingAttributes, BindingRecord, Expiry, InstanceRecord, Stored } from '../model.js';
import { openOperation, workOf } from '../operations/operations.js';
import type { Ended } from '../operations/worker.js';
import type { BrokerParts } from '../parts.js';
import { keySpacePrefix } from '../tenant-prefix.js';
import { type BindParameters, bindParameters } from './bind-parameters.js';
import { sameBinding } from './compare.js';
import { ON_BINDING, ON_INSTANCE } from './exclusion.js';
import { expiryFrom } from './expiry.js';
import { ANSWER_WITHIN_MS, awaitEnd } from './patience.js';

export interface BindRequest {
  instance_id: string;
  binding_id: string;
  attributes: BindingAttributes;
  acceptsIncomplete: boolean;
}

export type BindAnswer =
  | { kind: 'created' | 'exists'; binding: BindingRecord }
  | { kind: 'accepted'; operationId: string };

/** So often a decision is made again when the records changed meanwhile. */
const MOST_ROUNDS = 10;

/**
 * Makes a binding: its role, its user and its permission on a key space.
 *
 * Specification: "Binding" and "Binding Rotation".
 * @throws NotFound when the instance does not exist
 * @throws InvalidRequest when the plan is not the instance's, a parameter is none that the broker can keep, or the
 *   predecessor can not be succeeded
 * @throws Conflict when the id is taken by a binding with other attributes
 * @throws ConcurrencyError while the instance or the binding is being deleted
 */
export async function bind(parts: BrokerParts, request: BindRequest): Promise<BindAnswer> {
  const { records, cache, session, worker } = parts;
  const { instance_id, binding_id, attributes, acceptsIncomplete } = request;
  const until = performance.now() + ANSWER_WITHIN_MS;
  worker.assertRoom();
  const trouble = parts.trouble();
  if (trouble !== undefined) {
    const existing = await records.readBinding(instance_id, binding_id);
    if (existing !== undefined) {
      return repeat(parts, request, existing.value);
    }
    throw new Unavailable(trouble);
  }
  let instance = cache.get(instance_id) ?? (await records.readInstance(instance_id));
  let fresh = cache.get(instance_id) === undefined;
  const predecessor = await readPredecessor(parts, request);
  const { parameters } = predecessor?.attributes ?? attributes;
  const wanted = bindParameters(parameters);
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    // An instance from the cache may be long gone or changed; a refusal is only given on a fresh one.
    if (!fresh && (instance === undefined || !isBindable(instance.value, attributes))) {
      instance = await records.readInstance(instance_id);
      fresh = true;
    }
    assertBindable(instance?.value, attributes);
    const stored = instance as Stored<InstanceRecord>;
    const operation = openOperation('bind', { instance_id, binding_id }, session.id);
    const password = new Secret(randomBytes(24).toString('base64url'));
    const expiry = await expiryOf(parts, wanted);
    const names = nameAccess(stored.value, wanted, predecessor);
    const next: BindingRecord = {
      schema: 1,
      instance_id,
      binding_id,
      state: 'binding',
      deployment_id: stored.value.deployment_id,
      attributes: { ...attributes, parameters },
      ...names,
      ...(expiry === undefined ? {} : { expiry }),
      sealed_password: parts.seals.seal(password, names.username),
      created_at: operation.started_at,
      work: workOf(operation),
    };
    const result = await records.change({
      instance: { id: instance_id, expected: stored },
      binding: { instance_id, binding_id, expected: undefined, next },
      opened: operation,
      until,
    });
    if (result.done) {
      cache.set(instance_id, stored);
      const task = worker.drive({ instance_id, binding_id }, { value: next, revision: result.revision });
      const ended = await awaitEnd(parts, next, operation.id, task, { acceptsIncomplete, began: true });
      return conclude(ended, operation.id, 'created', next);
    }
    if (result.binding !== undefined) {
      return repeat(parts, request, result.binding.value);
    }
    worker.assertChanged(instance, result.instance);
    instance = result.instance;
    cache.set(instance_id, instance);
    fresh = true;
  }
  throw new Unavailable('The service instance changes all the time. Try again in a few seconds.');
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
  if (existing.work === undefined) {
    return { kind: 'exists', binding: existing };
  }
  const operationId = existing.work.operation_id;
  const task = parts.worker.runningTask(existing);
  const ended = await awaitEnd(parts, existing, operationId, task, { acceptsIncomplete, began: false });
  return conclude(ended, operationId, 'exists', existing);
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

function assertBindable(instance: InstanceRecord | undefined, attributes: BindingAttributes): void {
  if (instance === undefined) {
    throw new NotFound('The service instance does not exist. Create it before binding to it.');
  }
  if (ON_INSTANCE.bind[instance.state] === 'refuse') {
    throw new ConcurrencyError();
  }
  if (!isBindable(instance, attributes)) {
    throw new InvalidRequest('service_id and plan_id must be those of the service instance.');
  }
}

async function expiryOf({ clock }: BrokerParts, { expires_in }: BindParameters): Promise<Expiry | undefined> {
  return expires_in === undefined ? undefined : expiryFrom(expires_in, await clock.now(), Date.now());
}

async function readPredecessor(
  { records }: BrokerParts,
  { instance_id, binding_id, attributes }: BindRequest,
): Promise<BindingRecord | undefined> {
  const id = attributes.predecessor_binding_id;
  if (id === undefined) {
    return undefined;
  }
  if (id === binding_id) {
    throw new InvalidRequest('predecessor_binding_id must name another binding than the new one.');
  }
  const predecessor = await records.readBinding(instance_id, id);
  if (predecessor?.value.state === 'ready' && !predecessor.value.expired) {
    return predecessor.value;
  }
  // The predecessor may be unbound by now; a repeated request is still answered by its own binding.
  const own = await records.readBinding(instance_id, binding_id);
  if (own?.value.attributes.predecessor_binding_id === id) {
    return own.value;
  }
  throw new InvalidRequest(
    'predecessor_binding_id must name a live, unexpired binding of the same service instance.',
  );
}

/** Chooses the names of all that will exist in etcd for a new binding. */
function nameAccess(
  { deployment_id }: InstanceRecord,
  wanted: BindParameters,
  predecessor: BindingRecord | undefined,
): Pick<BindingRecord, 'role' | 'username' | 'key_space' | 'key_prefix' | 'access'> {
  const unique = randomBytes(8).toString('hex');
  const name = `d-${deployment_id}-${unique}`;
  const { key_space = `_${unique}`, access } = predecessor ?? wanted;
  return {
    role: name,
    username: name,
    key_space,
    key_prefix: keySpacePrefix(deployment_id, key_space),
    access,
  };
}
