import type { Expiry } from '../model.js';

const UNIT_MS: { readonly [unit: string]: number } = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Up to 1,141 years: what is added to any time today is still a date. */
export const DURATION = /^([1-9][0-9]{0,6}[smh]|[1-9][0-9]{0,4}d)$/;
/** The part of a binding's life after which a successor should be made. */
const RENEW_AFTER = 0.8;

/**
 * The length of a duration such as `30m` or `720h`, in milliseconds.
 * @param text checked against the published schema before
 * @throws RangeError when it has another form
 */
export function durationMs(text: string): number {
  const [, count, unit] = /^(\d+)([smhd])$/.exec(text) ?? [];
  const length = Number(count) * (UNIT_MS[unit ?? ''] ?? Number.NaN);
  if (!(length > 0)) {
    throw new RangeError('A duration is a whole number and s, m, h or d.');
  }
  return length;
}

/**
 * When a binding that is made now expires.
 * @param duration such as `720h`
 * @param clusterMs what the cluster's clock says now
 * @param wallMs what this machine's wall clock says now; it only makes the times that people read
 */
export function expiryFrom(duration: string, clusterMs: number, wallMs: number): Expiry {
  const length = durationMs(duration);
  return {
    due_ms: clusterMs + length,
    expires_at: new Date(wallMs + length).toISOString(),
    renew_before: new Date(wallMs + Math.floor(length * RENEW_AFTER)).toISOString(),
  };
}
