import type { Catalog, ParameterValidator, ServicePlan } from '../../catalog/types.js';
import { InvalidRequest, MaintenanceInfoConflict } from '../errors.js';
import type { JsonObject } from '../model.js';

/**
 * The plan that a request names.
 * @throws InvalidRequest when the catalog has no such service or plan
 */
export function requirePlan(catalog: Catalog, serviceId: string, planId: string): ServicePlan {
  if (catalog.findService(serviceId) === undefined) {
    throw new InvalidRequest('service_id is not in the catalog of this service broker.');
  }
  const plan = catalog.findPlan(serviceId, planId);
  if (plan === undefined) {
    throw new InvalidRequest('plan_id is not a plan of this service in the catalog of this service broker.');
  }
  return plan;
}

/**
 * Specification: "Maintenance Info Object" and 422 of "Provisioning" and "Updating".
 * @throws MaintenanceInfoConflict when the platform names another version than the catalog
 */
export function assertMaintenanceVersion(plan: ServicePlan, asked: string | undefined): void {
  const offered = plan.maintenanceInfo?.version;
  if (asked !== undefined && asked !== offered) {
    throw new MaintenanceInfoConflict(
      offered === undefined
        ? `The plan "${plan.name}" has no maintenance_info. Fetch the catalog again.`
        : `maintenance_info.version must be "${offered}", as in the catalog. Fetch the catalog again.`,
    );
  }
}

/** @throws InvalidRequest that names each bad parameter and what would be good */
export function assertParameters(validate: ParameterValidator, parameters: JsonObject): void {
  const problems = validate(parameters);
  if (problems.length > 0) {
    throw new InvalidRequest(`Bad parameters: ${problems.join('; ')}.`);
  }
}
