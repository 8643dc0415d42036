import { whitelistProblems } from '../../addresses/whitelist.js';
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

/** What users of IBM's Compose for etcd gave when they created or changed a service, and why it is refused here. */
const COMPOSE_PARAMETERS: ReadonlyMap<string, string> = new Map([
  [
    'db_version',
    'can not be chosen: every deployment has the version of the etcd cluster that the operator runs; leave it out',
  ],
  [
    'cluster_id',
    'named a cluster of your own on Compose for etcd, and this service broker has one cluster for all; leave it out',
  ],
]);

/** @throws InvalidRequest that names each bad parameter and what would be good */
export function assertParameters(validate: ParameterValidator, parameters: JsonObject): void {
  if (validate(parameters).length === 0) {
    return;
  }
  const known = Object.keys(parameters).filter((name) => COMPOSE_PARAMETERS.has(name));
  const others = Object.entries(parameters).filter(([name]) => !COMPOSE_PARAMETERS.has(name));
  const problems = [
    ...known.map((name) => `${name} ${COMPOSE_PARAMETERS.get(name)}`),
    ...validate(Object.fromEntries(others)),
  ];
  throw new InvalidRequest(`Bad parameters: ${problems.join('; ')}.`);
}

/**
 * Checks what the schema of the parameter `whitelist` can't say.
 * @param isEnforced whether there are portals, which keep others out
 * @throws InvalidRequest
 */
export function assertWhitelist({ whitelist }: JsonObject, isEnforced: boolean): void {
  const problems = whitelistProblems(whitelist);
  if (problems.length > 0) {
    throw new InvalidRequest(`Bad parameters: ${problems.join('; ')}.`);
  }
  if (!isEnforced && Array.isArray(whitelist) && whitelist.length > 0) {
    throw new InvalidRequest(
      'Bad parameters: whitelist needs portals, and this service broker runs without them; leave it out, and ask the operator for a firewall.',
    );
  }
}
