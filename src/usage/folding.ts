import { setImmediate as turn } from 'node:timers/promises';
import type { EtcdClient } from '../etcd/client.js';
import { grantLease } from '../etcd/leases.js';
import { pagedRange, rangeOfPrefix } from '../etcd/ranges.js';
import { Periodic, type PeriodicLog } from '../periodic.js';
import { keys } from '../records/keys.js';
import { decodeMinute, decodeRows, encodeRows } from './encoding.js';
import { foldedHour } from './folded.js';
import { LATE_MINUTES, minuteRecords } from './recent-minutes.js';
import { addPortal, addTime, emptyRow, type UsageRow } from './row.js';
import { QUARTERS_KEPT_DAYS } from './series.js';
import {
  dayOfHour,
  HOURS_A_DAY,
  MINUTES_AN_HOUR,
  minuteOf,
  QUARTER_MINUTES,
  QUARTERS_A_DAY,
} from './times.js';

const LOOK_MS = 60_000;
/** For how long portals' minutes stay, in hours: what is not folded until then is lost. */
export const MINUTES_LIVE_HOURS = 3;
/** An hour's record lives until its day is folded, and is shown for a day; in seconds. */
const HOUR_TTL = 2 * HOURS_A_DAY * 3_600;
const DAY_TTL = (QUARTERS_KEPT_DAYS + 1) * HOURS_A_DAY * 3_600;
/** Whoever folds an hour may take so long before another replica does it again, in seconds. Twice does no harm. */
const FOLDING_TTL = 600;
/** So many bytes of minutes are taken apart at a time; of more, a part of the instances after another. */
const BYTES_A_PASS = 2 << 20;
const PUTS_A_TXN = 100;
const PAGE = 1_000;

/**
 * Folds what portals wrote minute by minute into a record for each instance and hour, and at a day's end into one for
 * the day, by quarters of an hour. It can be repeated: the same minutes give the same records. One replica does it.
 */
export class Folding {
  readonly #periodic: Periodic;

  constructor(
    readonly client: Pick<EtcdClient, 'kv' | 'lease'>,
    log: PeriodicLog,
  ) {
    this.#periodic = new Periodic({
      what: 'Folding figures of usage',
      intervalMs: LOOK_MS,
      run: (stopping) => this.look(Date.now(), stopping),
      log,
    });
  }

  start(): void {
    // Replicas that start together do not look together.
    this.#periodic.start(LOOK_MS * (0.5 + Math.random() / 2));
  }

  stop(): Promise<void> {
    return this.#periodic.stop();
  }

  /** Folds the hours that are over. @throws EtcdError */
  async look(now: number, stopping?: AbortSignal): Promise<void> {
    // The last hour of which nothing can come any more.
    const last = Math.floor((minuteOf(now) - LATE_MINUTES) / MINUTES_AN_HOUR) - 1;
    const folded = (await foldedHour(this.client)) ?? last - MINUTES_LIVE_HOURS;
    for (let hour = Math.max(folded + 1, last - MINUTES_LIVE_HOURS); hour <= last; hour += 1) {
      stopping?.throwIfAborted();
      if (!(await this.#claim(hour))) {
        return;
      }
      await this.#foldHour(hour, stopping);
      if ((hour + 1) % HOURS_A_DAY === 0) {
        await this.#foldDay(dayOfHour(hour), stopping);
      }
      await this.client.kv.txn({
        compare: [],
        success: [
          { request_put: { key: Buffer.from(keys.seriesFolded), value: Buffer.from(String(hour)) } },
          { request_delete_range: { key: Buffer.from(keys.seriesFolding) } },
        ],
        failure: [],
      });
    }
  }

  async #claim(hour: number): Promise<boolean> {
    const key = Buffer.from(keys.seriesFolding);
    const lease = await grantLease(this.client, FOLDING_TTL);
    const { succeeded } = await this.client.kv.txn({
      compare: [{ key, target: 'Create', result: 'Equal', create_revision: '0' }],
      success: [{ request_put: { key, value: Buffer.from(String(hour)), lease } }],
      failure: [],
    });
    return succeeded;
  }

  async #foldHour(hour: number, stopping?: AbortSignal): Promise<void> {
    const first = hour * MINUTES_AN_HOUR;
    const minutes: [number, Buffer][] = [];
    let size = 0;
    for await (const [, minute, bytes] of minuteRecords(this.client, first, first + MINUTES_AN_HOUR - 1)) {
      minutes.push([minute - first, bytes]);
      size += bytes.length;
    }
    const known = await this.#deployments();
    const writer = new Writer(this.client, HOUR_TTL);
    const passes = Math.ceil(size / BYTES_A_PASS);
    for (let pass = 0; pass < passes; pass += 1) {
      const rows = new Map<string, Map<number, UsageRow>>();
      for (const [index, bytes] of minutes) {
        stopping?.throwIfAborted();
        const wanted = (id: string) => known.has(id) && Number.parseInt(id.slice(0, 6), 16) % passes === pass;
        for (const [id, row] of decodeMinute(bytes, wanted)) {
          const own = rows.get(id) ?? new Map<number, UsageRow>();
          rows.set(id, own);
          const sum = own.get(index) ?? emptyRow();
          addPortal(sum, row);
          own.set(index, sum);
        }
        await turn();
      }
      for (const [id, own] of rows) {
        await writer.put(keys.seriesMinutes(id, hour), own);
      }
    }
    await writer.end();
  }

  async #foldDay(day: number, stopping?: AbortSignal): Promise<void> {
    const writer = new Writer(this.client, DAY_TTL);
    for (const id of await this.#deployments()) {
      stopping?.throwIfAborted();
      const { kvs } = await this.client.kv.range({
        key: Buffer.from(keys.seriesMinutes(id, day * HOURS_A_DAY)),
        range_end: Buffer.from(keys.seriesMinutes(id, (day + 1) * HOURS_A_DAY)),
      });
      const quarters = new Map<number, UsageRow>();
      for (const { key, value } of kvs) {
        const hour = Number(key.toString('latin1').split('/').at(-1)) - day * HOURS_A_DAY;
        for (const [minute, row] of decodeRows(value)) {
          const quarter = Math.floor((hour * MINUTES_AN_HOUR + minute) / QUARTER_MINUTES);
          const sum = quarters.get(quarter) ?? emptyRow();
          addTime(sum, row);
          quarters.set(quarter % QUARTERS_A_DAY, sum);
        }
      }
      if (quarters.size > 0) {
        await writer.put(keys.seriesQuarters(id, day), quarters);
      }
    }
    await writer.end();
  }

  async #deployments(): Promise<Set<string>> {
    const found = new Set<string>();
    for await (const { key } of pagedRange(this.client.kv, rangeOfPrefix(keys.deployments), PAGE, {
      keys_only: true,
    })) {
      found.add(key.toString('latin1').slice(keys.deployments.length));
    }
    return found;
  }
}

/** Puts many records under one lease, some at a time. */
class Writer {
  readonly #puts: { request_put: { key: Buffer; value: Buffer; lease: string } }[] = [];
  #lease: string | undefined;

  constructor(
    readonly client: Pick<EtcdClient, 'kv' | 'lease'>,
    readonly ttl: number,
  ) {}

  async put(key: string, rows: ReadonlyMap<number, UsageRow>): Promise<void> {
    this.#lease ??= await grantLease(this.client, this.ttl);
    const value = encodeRows([...rows].sort(([a], [b]) => a - b));
    this.#puts.push({ request_put: { key: Buffer.from(key), value, lease: this.#lease } });
    if (this.#puts.length === PUTS_A_TXN) {
      await this.end();
    }
  }

  async end(): Promise<void> {
    if (this.#puts.length > 0) {
      await this.client.kv.txn({ compare: [], success: this.#puts.splice(0), failure: [] });
    }
  }
}
