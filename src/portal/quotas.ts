import type { Catalog } from '../catalog/types.js';

/** What an instance may hold where its plan says nothing, in bytes. */
export const DEFAULT_QUOTA = 256 << 20;

/** The plans' quotas in bytes, by plan id. */
export function quotasOf({ services }: Pick<Catalog, 'services'>): Map<string, number> {
  return new Map(
    services.flatMap(({ plans }) => plans.map(({ id, settings }) => [id, settings.quotaBytes] as const)),
  );
}
