import { setTimeout as sleep } from 'node:timers/promises';
import type { Catalog, ServicePlan } from '../../catalog/types.js';
import { ConcurrencyError, InvalidRequest, NotFound, Unavailable, UnsupportedUpdate } from '../errors.js';
import type { InstanceRecord, JsonObject } from '../model.js';
import { finish, openOperation } from '../operations/operations.js';
import type { BrokerParts } from '../parts.js';
import { ANSWER_WITHIN_MS } from '../times.js';
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
}

/** How long to wait before the next try after another replica was first, at most, in milliseconds. */
const PAUSE_MS = 50;

/**
 * Changes an instance's plan, parameters, context or maintenance version: one transaction, so a refused update has
 * changed nothing and nobody sees half of one. Updates of one instance take turns.
 *
 * Specification: "Updating a Service Instance".
 * @throws NotFound, InvalidRequest, UnsupportedUpdate, MaintenanceInfoConflict, ConcurrencyError, Unavailable
 */
export function update(
  parts: BrokerParts,
  catalog: Catalog,
  turns: Turns,
  request: UpdateRequest,
): Promise<InstanceRecord> {
  const until = performance.now() + ANSWER_WITHIN_MS;
  return turns.take(request.instance_id, until, () => applyUpdate(parts, catalog, request, until));
}

/** Tries until no other replica changes the instance between reading and writing it. */
async function applyUpdate(
  { records, cache, session }: BrokerParts,
  catalog: Catalog,
  request: UpdateRequest,
  until: number,
): Promise<InstanceRecord> {
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
    const result = await records.change({
      instance: { id: instance_id, expected: stored, next },
      finished: [finish(operation, 'succeeded')],
    });
    if (result.done) {
      cache.set(instance_id, { value: next, revision: result.revision });
      return next;
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
  const { maintenance_version: before, ...rest } = instance;
  // With the plan comes its maintenance version (specification: "Maintenance Info Object").
  const version = request.maintenance_version ?? (planChanges ? plan.maintenanceInfo?.version : before);
  return {
    ...rest,
    plan_id: plan.id,
    parameters: { ...instance.parameters, ...request.parameters },
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
