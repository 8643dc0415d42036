import { unitsOf } from '../broker/units.js';
import type { Catalog } from '../catalog/types.js';
import type { InstanceFacts } from './tenants/records.js';

/** What an instance may hold where its plan says nothing, in bytes. */
export const DEFAULT_QUOTA = 256 << 20;

/** How many bytes an instance may hold: as many units as it has, each of its plan's quota. */
export function quotaOf(
  quotas: ReadonlyMap<string, number>,
  { planId, parameters }: Pick<InstanceFacts, 'planId' | 'parameters'>,
  unknownPlan = DEFAULT_QUOTA,
): number {
  return (quotas.get(planId) ?? unknownPlan) * unitsOf(parameters);
}

/** The plans' quotas in bytes, by plan id. */
export function quotasOf({ services }: Pick<Catalog, 'services'>): Map<string, number> {
  return new Map(
    services.flatMap(({ plans }) => plans.map(({ id, settings }) => [id, settings.quotaBytes] as const)),
  );
}
