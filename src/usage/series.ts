import type { EtcdClient } from '../etcd/client.js';
import { rangeOfPrefix } from '../etcd/ranges.js';
import { keys } from '../records/keys.js';
import { decodeRows } from './encoding.js';
import { foldedHour } from './folded.js';
import { LATE_MINUTES, RecentMinutes } from './recent-minutes.js';
import { addPortal, addTime, emptyRow, levelOf, type UsageRow } from './row.js';
import {
  dayOfHour,
  HOURS_A_DAY,
  hourOf,
  MINUTE_MS,
  MINUTES_AN_HOUR,
  minuteOf,
  QUARTER_MINUTES,
  QUARTERS_A_DAY,
} from './times.js';

/** For how long minutes are told, and quarters of an hour. */
export const MINUTES_KEPT_HOURS = HOURS_A_DAY;
export const QUARTERS_KEPT_DAYS = 30;

/** A time that begins at `minute`, and what was used in it. */
export interface UsagePoint {
  minute: number;
  row: UsageRow;
}

/** Where the first point of so many minutes until now begins, since 1970. */
export function firstMinute(minutes: number, step: number, now: number): number {
  const until = minuteOf(now);
  return until - (until % step) - Math.ceil(minutes / step) * step;
}

/** What instances used, as portals saw it. Methods throw `EtcdError`. */
export class UsageSeries {
  readonly #recent: RecentMinutes;

  constructor(readonly client: Pick<EtcdClient, 'kv'>) {
    this.#recent = new RecentMinutes(client);
  }

  /**
   * The points from so many minutes ago until now, the oldest first. Where there is none, nothing was used.
   * @param minutes at most 30 days; beyond a day it is known by quarters of an hour
   * @param step minutes in one point
   */
  async read(deploymentId: string, minutes: number, step: number, now = Date.now()): Promise<UsagePoint[]> {
    const until = minuteOf(now);
    const from = firstMinute(minutes, step, now);
    const points = new Map<number, UsageRow>();
    const put = (minute: number, row: UsageRow) => {
      if (minute >= from && minute <= until) {
        const start = minute - (minute % step);
        const sum = points.get(start) ?? emptyRow();
        addTime(sum, row);
        points.set(start, sum);
      }
    };
    const isLong = minutes > MINUTES_KEPT_HOURS * MINUTES_AN_HOUR;
    const days = isLong ? await this.#quarters(deploymentId, from, put) : new Set<number>();
    for (const [minute, row] of await this.#minutes(deploymentId, from, until)) {
      if (!days.has(dayOfHour(Math.floor(minute / MINUTES_AN_HOUR)))) {
        put(minute, row);
      }
    }
    return [...points].map(([minute, row]) => ({ minute, row })).sort((a, b) => a.minute - b.minute);
  }

  /** How many connections the portals had at the end of their last minute. */
  async connections(deploymentId: string, now = Date.now()): Promise<number> {
    const minute = minuteOf(now);
    const rows = await this.#recent.of(deploymentId, minute - LATE_MINUTES, minute);
    const latest = rows.get(Math.max(...rows.keys()));
    return latest === undefined ? 0 : levelOf(latest, 'connections');
  }

  async #minutes(deploymentId: string, from: number, until: number): Promise<Map<number, UsageRow>> {
    const folded = await foldedHour(this.client);
    const firstHour = Math.floor(from / MINUTES_AN_HOUR);
    const oldest = hourOf(until * MINUTE_MS) - MINUTES_KEPT_HOURS - HOURS_A_DAY;
    const [recent, { kvs }] = await Promise.all([
      this.#recent.of(deploymentId, Math.max(from, ((folded ?? firstHour - 1) + 1) * MINUTES_AN_HOUR), until),
      this.client.kv.range({
        key: Buffer.from(keys.seriesMinutes(deploymentId, Math.max(firstHour, oldest))),
        range_end: rangeOfPrefix(`${keys.seriesOf(deploymentId)}m/`).range_end,
      }),
    ]);
    const rows = new Map(recent);
    for (const { key, value } of kvs) {
      const hour = numberIn(key);
      for (const [index, row] of decodeRows(value)) {
        const minute = hour * MINUTES_AN_HOUR + index;
        const sum = rows.get(minute) ?? emptyRow();
        addPortal(sum, row);
        rows.set(minute, sum);
      }
    }
    return rows;
  }

  /** @returns the days that are known by quarters of an hour */
  async #quarters(
    deploymentId: string,
    from: number,
    put: (minute: number, row: UsageRow) => void,
  ): Promise<Set<number>> {
    const firstDay = dayOfHour(Math.floor(from / MINUTES_AN_HOUR));
    const { kvs } = await this.client.kv.range({
      key: Buffer.from(keys.seriesQuarters(deploymentId, firstDay)),
      range_end: rangeOfPrefix(`${keys.seriesOf(deploymentId)}q/`).range_end,
    });
    const days = new Set<number>();
    for (const { key, value } of kvs) {
      const day = numberIn(key);
      days.add(day);
      for (const [index, row] of decodeRows(value)) {
        put((day * QUARTERS_A_DAY + index) * QUARTER_MINUTES, row);
      }
    }
    return days;
  }
}

function numberIn(key: Buffer): number {
  return Number(key.toString('latin1').split('/').at(-1));
}
