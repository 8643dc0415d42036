import { setTimeout as sleep } from 'node:timers/promises';
import type { Catalog, ServicePlan } from '../../catalog/types.js';
import {
  AsyncRequired,
  ConcurrencyError,
  InvalidRequest,
  NotFound,
  Unavailable,
  UnsupportedUpdate,
} from '../errors.js';
import type { BackupSource, InstanceRecord, JsonObject } from '../model.js';
import { finish, openOperation } from '../operations/operations.js';
import { restoringFrom } from '../operations/restoring.js';
import type { BrokerParts } from '../parts.js';
import { ANSWER_WITHIN_MS } from '../times.js';
import { unitsOf } from '../units.js';
import { ON_INSTANCE } from './exclusion.js';
import { assertMaintenanceVersion, assertParameters, assertWhitelist, requirePlan } from './plan-rules.js';
import type { Turns } from './turns.js';

export interface UpdateRequest {
  /** Whether portals enforce a `whitelist`. */
  hasPortals: boolean;
  instance_id: string;
  service_id: string;
  plan_id?: string;
  /** Those given replace the instance's of the same name; the others stay. */
  parameters?: JsonObject;
  context?: JsonObject;
  maintenance_version?: string;
  acceptsIncomplete: boolean;
}

export type UpdateAnswer =
  | { kind: 'updated'; instance: InstanceRecord }
  | { kind: 'accepted'; instance: InstanceRecord; operationId: string };

/** How long to wait before the next try after another replica was first, at most, in milliseconds. */
const PAUSE_MS = 50;

/**
 * Changes an instance's plan, parameters, context or maintenance version: one transaction, so a refused update has
 * changed nothing and nobody sees half of one. Updates of one instance take turns.
 *
 * Where a backup is to be restored in place, a task does that afterwards.
 *
 * Specification: "Updating a Service Instance".
 * @throws AsyncRequired, NotFound, InvalidRequest, UnsupportedUpdate, MaintenanceInfoConflict, ConcurrencyError, Unavailable
 */
export function update(
  parts: BrokerParts,
  catalog: Catalog,
  turns: Turns,
  request: UpdateRequest,
): Promise<UpdateAnswer> {
  const until = performance.now() + ANSWER_WITHIN_MS;
  return turns.take(request.instance_id, until, () => applyUpdate(parts, catalog, request, until));
}

/** Tries until no other replica changes the instance between reading and writing it. */
async function applyUpdate(
  parts: BrokerParts,
  catalog: Catalog,
  request: UpdateRequest,
  until: number,
): Promise<UpdateAnswer> {
  const { records, cache, session, worker } = parts;
  const { instance_id } = request;
  let stored = cache.get(instance_id);
  let isFresh = false;
  for (let round = 0; performance.now() < until; round += 1) {
    if (stored === undefined) {
      stored = await records.readInstance(instance_id);
      isFresh = true;
      if (stored === undefined) {
        throw new NotFound('The service instance does not exist.');
      }
    }
    const operation = openOperation('update', { instance_id }, session.id);
    let next: InstanceRecord;
    try {
      next = decideUpdate(catalog, stored.value, request, operation.started_at);
    } catch (error) {
      // An instance from the cache may be long gone or changed; a refusal is only given on a fresh one.
      if (isFresh) {
        throw error;
      }
      stored = undefined;
      continue;
    }
    await assertFits(parts, catalog, stored.value, next);
    const source = await sourceOf(parts, request, stored.value);
    if (source !== undefined) {
      next = restoringFrom(next, operation, source);
    }
    const result = await records.change({
      instance: { id: instance_id, expected: stored, next },
      ...(source === undefined ? { finished: [finish(operation, 'succeeded')] } : { opened: operation }),
    });
    if (result.done && source !== undefined) {
      cache.set(instance_id, undefined);
      void worker.drive({ instance_id }, { value: next, revision: result.revision });
      return { kind: 'accepted', instance: next, operationId: operation.id };
    }
    if (result.done) {
      cache.set(instance_id, { value: next, revision: result.revision });
      return { kind: 'updated', instance: next };
    }
    stored = result.instance;
    isFresh = true;
    if (round > 0) {
      await sleep(Math.random() * PAUSE_MS);
      stored = undefined;
    }
  }
  throw new Unavailable('The service instance changes all the time. Try again in a few seconds.');
}

/** @throws InvalidRequest when an instance is to have less than it holds */
async function assertFits(
  { records }: BrokerParts,
  catalog: Catalog,
  before: InstanceRecord,
  after: InstanceRecord,
): Promise<void> {
  const unitBytes = ({ service_id, plan_id }: InstanceRecord) =>
    catalog.findPlan(service_id, plan_id)?.settings.quotaBytes ?? Number.POSITIVE_INFINITY;
  const bytes = unitBytes(after) * unitsOf(after.parameters);
  if (bytes >= unitBytes(before) * unitsOf(before.parameters)) {
    return;
  }
  const stored = (await records.storedBytes(after.deployment_id)) ?? 0;
  if (stored > bytes) {
    const least = Math.ceil(stored / unitBytes(after));
    throw new InvalidRequest(
      `The service instance holds ${inMegabytes(stored)}, which is more than the ${inMegabytes(bytes)} that it would have. Ask for at least ${least} units, or delete keys; it is counted anew within a minute.`,
    );
  }
}

function inMegabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MB`;
}

/** The backup of its own that an instance is to be restored from; undefined when none is asked for. */
async function sourceOf(
  { backups, tasks }: BrokerParts,
  { parameters, acceptsIncomplete, hasPortals }: UpdateRequest,
  instance: InstanceRecord,
): Promise<BackupSource | undefined> {
  const { restore } = parameters ?? {};
  if (restore === undefined) {
    return undefined;
  }
  const { backup_id: backup } = restore as JsonObject;
  if (backups === undefined) {
    throw new InvalidRequest(
      'Bad parameters: restore needs backups, and this service broker makes none; leave it out.',
    );
  }
  if (!hasPortals) {
    throw new InvalidRequest(
      'Bad parameters: restore needs portals, which hold applications off meanwhile, and this service broker runs without them; restore into a new instance.',
    );
  }
  if (!acceptsIncomplete) {
    throw new AsyncRequired();
  }
  tasks.assertRoom('creation');
  const found =
    typeof backup === 'string' ? await backups.find(instance.instance_id, backup, instance) : undefined;
  if (found === undefined) {
    throw new InvalidRequest('Bad parameters: restore names no backup of this service instance.');
  }
  return found;
}

/** What an instance becomes by an update, or why it can't. Decides only. */
export function decideUpdate(
  catalog: Catalog,
  instance: InstanceRecord,
  request: UpdateRequest,
  now: string,
): InstanceRecord {
  if (ON_INSTANCE.update[instance.state] === 'refuse') {
    throw new ConcurrencyError();
  }
  if (request.service_id !== instance.service_id) {
    throw new InvalidRequest('service_id must be that of the service instance; it can not be changed.');
  }
  const planId = request.plan_id ?? instance.plan_id;
  const isContextOnly = request.parameters === undefined && request.maintenance_version === undefined;
  if (planId === instance.plan_id && isContextOnly) {
    // Also when the operator has taken the plan out of the catalog: nothing of the plan is asked for.
    return { ...instance, context: request.context ?? instance.context, updated_at: now };
  }
  const plan = requirePlan(catalog, instance.service_id, planId);
  const planChanges = plan.id !== instance.plan_id;
  if (planChanges) {
    assertPlanChange(catalog.findPlan(instance.service_id, instance.plan_id), plan);
  }
  assertMaintenanceVersion(plan, request.maintenance_version);
  if (request.parameters !== undefined) {
    assertParameters(plan.validators.update, request.parameters);
    assertWhitelist(request.parameters, request.hasPortals);
  }
  // To restore is asked for once, and is no property of the instance.
  const { restore: _, ...parameters } = request.parameters ?? {};
  const merged = { ...instance.parameters, ...parameters };
  if (planChanges) {
    // What the instance keeps must be allowed by its new plan, too.
    const { units, auto_scaling } = merged;
    assertParameters(plan.validators.update, {
      ...(units !== undefined && { units }),
      ...(auto_scaling !== undefined && { auto_scaling }),
    });
  }
  const { maintenance_version: before, ...rest } = instance;
  // With the plan comes its maintenance version (specification: "Maintenance Info Object").
  const version = request.maintenance_version ?? (planChanges ? plan.maintenanceInfo?.version : before);
  return {
    ...rest,
    plan_id: plan.id,
    parameters: merged,
    context: request.context ?? instance.context,
    ...(version === undefined ? {} : { maintenance_version: version }),
    updated_at: now,
  };
}

function assertPlanChange(from: ServicePlan | undefined, to: ServicePlan): void {
  // A plan that the operator took out of the catalog may always be left.
  if (from !== undefined && !from.planUpdateable) {
    throw new UnsupportedUpdate(
      `A service instance of the plan "${from.name}" can not change to the plan "${to.name}".`,
    );
  }
}
