import type { Catalog, ServicePlan } from '../../catalog/types.js';
import { ConcurrencyError, InvalidRequest, NotFound, Unavailable, UnsupportedUpdate } from '../errors.js';
import type { InstanceRecord, JsonObject } from '../model.js';
import { finish, openOperation } from '../operations/operations.js';
import type { BrokerParts } from '../parts.js';
import { ON_INSTANCE } from './exclusion.js';
import { assertMaintenanceVersion, assertParameters, requirePlan } from './plan-rules.js';

export interface UpdateRequest {
  instance_id: string;
  service_id: string;
  plan_id?: string;
  /** Those given replace the instance's of the same name; the others stay. */
  parameters?: JsonObject;
  context?: JsonObject;
  maintenance_version?: string;
}

/** Of several updates at once one gets through in each round, so this many may meet. */
const MOST_ROUNDS = 100;

/**
 * Changes an instance's plan, parameters, context or maintenance version: one transaction, so a refused update has
 * changed nothing and nobody sees half of one.
 *
 * Specification: "Updating a Service Instance".
 * @throws NotFound, InvalidRequest, UnsupportedUpdate, MaintenanceInfoConflict, ConcurrencyError
 */
export async function update(
  parts: BrokerParts,
  catalog: Catalog,
  request: UpdateRequest,
): Promise<InstanceRecord> {
  const { records, cache, session } = parts;
  const { instance_id } = request;
  let stored = await records.readInstance(instance_id);
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    if (stored === undefined) {
      throw new NotFound('The service instance does not exist.');
    }
    const operation = openOperation('update', { instance_id }, session.id);
    const next = decideUpdate(catalog, stored.value, request, operation.started_at);
    const result = await records.change({
      instance: { id: instance_id, expected: stored, next },
      finished: [finish(operation, 'succeeded')],
    });
    if (result.done) {
      cache.set(instance_id, { value: next, revision: result.revision });
      return next;
    }
    stored = result.instance;
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
  if (plan.id !== instance.plan_id) {
    assertPlanChange(catalog.findPlan(instance.service_id, instance.plan_id), plan);
  }
  assertMaintenanceVersion(plan, request.maintenance_version);
  if (request.parameters !== undefined) {
    assertParameters(plan.validators.update, request.parameters);
  }
  return {
    ...instance,
    plan_id: plan.id,
    parameters: { ...instance.parameters, ...request.parameters },
    context: request.context ?? instance.context,
    ...(request.maintenance_version === undefined
      ? {}
      : { maintenance_version: request.maintenance_version }),
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
