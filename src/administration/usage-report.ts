import { addTime, counterOf, emptyRow, levelOf, quantile, type UsageRow } from '../usage/row.js';
import type { UsagePoint } from '../usage/series.js';
import { MINUTE_MS, minuteOf } from '../usage/times.js';

/** Portals have written a minute so long after its end, in milliseconds, unless they are in trouble. */
const WRITTEN_AFTER_MS = 5_000;

/** What can be asked for: how far it goes back, and how much of it is one point; in minutes. */
export const USAGE_RANGES = {
  '30m': { minutes: 30, step: 1 },
  '6h': { minutes: 360, step: 1 },
  '24h': { minutes: 1_440, step: 5 },
  '7d': { minutes: 10_080, step: 15 },
  '30d': { minutes: 43_200, step: 60 },
} as const;
export type UsageRange = keyof typeof USAGE_RANGES;

export function isUsageRange(name: unknown): name is UsageRange {
  return typeof name === 'string' && Object.hasOwn(USAGE_RANGES, name);
}

/** Counts of a time, the calls that ended in it, and levels at its highest; null is what is not known. */
export interface ReportPoint {
  /** When it begins. */
  time: string;
  /** How much of it is over. */
  seconds: number;
  reads: number;
  writes: number;
  leases: number;
  watches: number;
  others: number;
  errors: number;
  received_bytes: number;
  sent_bytes: number;
  /** How long calls took, streams left out. */
  p50_seconds: number | null;
  p99_seconds: number | null;
  connections: number;
  streams: number;
  stored_bytes: number | null;
  history_bytes: number | null;
  keys: number | null;
}

/**
 * Every point from `from` until now, the oldest first. Portals write nothing of an instance that is at rest, so where
 * there is no point nothing was called, and what is stored is what was stored before.
 * @param from the minute of the first point, since 1970
 * @param step minutes in one point
 */
export function usageReport(
  points: readonly UsagePoint[],
  from: number,
  step: number,
  now: number,
): ReportPoint[] {
  const rows = new Map<number, UsageRow>();
  for (const { minute, row } of points) {
    const start = minute - (minute % step);
    const sum = rows.get(start) ?? emptyRow();
    addTime(sum, row);
    rows.set(start, sum);
  }
  const report: ReportPoint[] = [];
  let stored: Pick<ReportPoint, 'stored_bytes' | 'history_bytes' | 'keys'> = {
    stored_bytes: null,
    history_bytes: null,
    keys: null,
  };
  const end = minuteOf(now - WRITTEN_AFTER_MS);
  for (let minute = from; minute < end; minute += step) {
    const known = rows.get(minute);
    const row = known ?? emptyRow();
    if (known !== undefined) {
      stored = {
        stored_bytes: levelOf(row, 'stored'),
        history_bytes: levelOf(row, 'history'),
        keys: levelOf(row, 'keys'),
      };
    }
    report.push({
      time: new Date(minute * MINUTE_MS).toISOString(),
      seconds: Math.min(step, end - minute) * 60,
      reads: counterOf(row, 'reads'),
      writes: counterOf(row, 'writes'),
      leases: counterOf(row, 'leases'),
      watches: counterOf(row, 'watches'),
      others: counterOf(row, 'others'),
      errors: counterOf(row, 'errors'),
      received_bytes: counterOf(row, 'received'),
      sent_bytes: counterOf(row, 'sent'),
      p50_seconds: quantile(row, 0.5) ?? null,
      p99_seconds: quantile(row, 0.99) ?? null,
      connections: levelOf(row, 'connections'),
      streams: levelOf(row, 'streams'),
      ...stored,
    });
  }
  return report;
}
