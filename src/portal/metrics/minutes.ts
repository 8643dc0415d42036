import { type Deadline, type EtcdClient, within } from '../../etcd/client.js';
import { grantLease } from '../../etcd/leases.js';
import { Periodic, type PeriodicLog } from '../../periodic.js';
import { keys } from '../../records/keys.js';
import { type Entry, encodeMinute } from '../../usage/encoding.js';
import { MINUTES_LIVE_HOURS } from '../../usage/folding.js';
import { COUNTERS, emptyRow, type Level, rowOf, type UsageRow } from '../../usage/row.js';
import { MINUTE_MS, minuteOf } from '../../usage/times.js';
import type { ActiveTenant } from '../calls/active-tenant.js';
import type { InstanceBudgets } from '../limits/instance-budgets.js';
import type { Tallies, Tally } from './tallies.js';

/** How often it looks whether a minute is over, in milliseconds. */
const LOOK_MS = 2_000;
/** So many instances are in one record. */
const ROWS = 500;
/** A lease serves the records of so many minutes. */
const LEASE_MINUTES = 60;
/** How long a portal that stops waits for etcd, in milliseconds. */
const FAREWELL_MS = 1_000;
const LEASE_TTL = (MINUTES_LIVE_HOURS + 1) * 3_600;

export interface MinutesParts {
  readonly client: Pick<EtcdClient, 'kv' | 'lease'>;
  /** This portal's id, another one at each start. */
  readonly portal: string;
  readonly active: Iterable<Pick<ActiveTenant, 'tenant' | 'gauges'>>;
  readonly budgets: Pick<InstanceBudgets, 'levels'>;
  readonly tallies: Tallies;
  readonly log: PeriodicLog;
  readonly now?: () => number;
}

/** Writes down, once a minute, what went through this portal since the last time, for the series of usage. */
export class MinuteWriter {
  /** What of each tally is written down. */
  readonly #written = new Map<Tally, UsageRow>();
  readonly #periodic: Periodic;
  /** The minute that is not written yet. */
  #minute: number;
  #lease: { id: string; minute: number } | undefined;

  constructor(readonly parts: MinutesParts) {
    this.#minute = minuteOf(this.#now());
    this.#periodic = new Periodic({
      what: 'Writing figures of usage',
      intervalMs: LOOK_MS,
      longestPauseMs: MINUTE_MS,
      run: () => this.look(),
      log: parts.log,
    });
  }

  start(): void {
    this.#periodic.start();
  }

  /** Writes the minute that is over, if one is. @throws EtcdError */
  async look(): Promise<void> {
    const minute = minuteOf(this.#now());
    if (minute !== this.#minute) {
      await this.#write(minute - 1);
      this.#minute = minute;
    }
  }

  /** Writes what is left, if etcd takes it in time. */
  async stop(): Promise<void> {
    await this.#periodic.stop();
    try {
      await this.#write(minuteOf(this.#now()), within(FAREWELL_MS));
    } catch (error) {
      this.parts.log.info({ reason: (error as Error).message }, 'The last figures of usage are lost');
    }
  }

  /** What can't be written is part of the next minute. @throws EtcdError */
  async #write(minute: number, deadline?: Deadline): Promise<void> {
    const { tallies } = this.parts;
    const rows = this.#rows();
    for (let first = 0; first < rows.length; first += ROWS) {
      const part = rows.slice(first, first + ROWS);
      const entries = part.map(({ deployment, row }): Entry<string> => [deployment, row]);
      await this.#put(minute, first / ROWS, encodeMinute(entries), deadline);
      for (const { tally, counts } of part) {
        this.#written.set(tally, counts);
      }
    }
    tallies.sweep();
    const present = new Set([...tallies].map(([, tally]) => tally));
    for (const tally of this.#written.keys()) {
      if (!present.has(tally)) {
        this.#written.delete(tally);
      }
    }
  }

  async #put(minute: number, part: number, value: Buffer, deadline?: Deadline): Promise<void> {
    const { client, portal } = this.parts;
    if (this.#lease === undefined || minute - this.#lease.minute >= LEASE_MINUTES) {
      this.#lease = { id: await grantLease(client, LEASE_TTL, deadline), minute };
    }
    try {
      const key = Buffer.from(keys.portalMinute(minute, portal, part));
      await client.kv.put({ key, value, lease: this.#lease.id }, deadline);
    } catch (error) {
      this.#lease = undefined; // it may be the lease that is gone
      throw error;
    }
  }

  #rows(): { deployment: string; tally: Tally; counts: UsageRow; row: UsageRow }[] {
    const { tallies } = this.parts;
    const levels = this.#levels();
    return [...tallies].flatMap(([deployment, tally]) => {
      const own = levels.get(deployment) ?? { connections: 0, streams: 0, stored: 0, history: 0, keys: 0 };
      const counts = rowOf(tally.counts, tally.buckets, own);
      const before = this.#written.get(tally) ?? emptyRow();
      const first = COUNTERS.length + tally.buckets.length;
      const row = counts.map((value, index) => (index < first ? value - (before[index] as number) : value));
      const isQuiet = own.connections === 0 && row.slice(0, first).every((value) => value === 0);
      return isQuiet ? [] : [{ deployment, tally, counts, row }];
    });
  }

  #levels(): Map<string, Record<Level, number>> {
    const { active, budgets } = this.parts;
    const levels = new Map<string, Record<Level, number>>();
    for (const [deployment, { estimate, history }, keyCount] of budgets.levels()) {
      levels.set(deployment, { connections: 0, streams: 0, stored: estimate, history, keys: keyCount });
    }
    for (const { tenant, gauges } of active) {
      const level = levels.get(tenant.instance.settings.deploymentId);
      if (level !== undefined) {
        level.connections += gauges.counts.connections;
        level.streams += gauges.counts.streams;
      }
    }
    return levels;
  }

  #now(): number {
    return (this.parts.now ?? Date.now)();
  }
}
