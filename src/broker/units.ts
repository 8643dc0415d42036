import type { JsonObject } from './model.js';

/** Compose's deployments had up to 16 GB. A plan's schema may allow fewer. */
export const MOST_UNITS = 64;

/**
 * How many units an instance has: each is what its plan allows one to hold. Compose's parameter `units`; what is no
 * such number counts as one, since the schema of an operator may have let it pass.
 */
export function unitsOf({ units }: JsonObject): number {
  const isNumber = typeof units === 'number' && Number.isInteger(units) && units >= 1 && units <= MOST_UNITS;
  return isNumber ? units : 1;
}
