import { CompareResult, CompareTarget } from 'etcd3';
import type { EtcdClient } from '../etcd/client.js';
import { grantLease } from '../etcd/leases.js';
import { type ClockRecord, elapsedByGauge, elapsedSince, GAUGE_ERROR_MS } from './clock-reading.js';
import { keys } from './keys.js';

/** A clock that was moved on longer ago than this stands still, in milliseconds. */
const STALE_MS = 2_000;
/** Ten years, in seconds. */
const GAUGE_SECONDS = 10 * 365 * 86_400;

/**
 * A clock that all replicas share and that no wall clock moves: it lives in etcd and is moved on by one replica, the
 * keeper, by its monotonic clock.
 */
export class ClusterClock {
  /** What this replica wrote last, and when by its monotonic clock. */
  #own: { revision: string; at: number } | undefined;

  constructor(
    readonly connection: EtcdClient,
    readonly session: { readonly id: string; readonly isAlive: boolean },
  ) {}

  /**
   * What the clock says, never less than the truth and at most 2 s more; starts the clock if it stands still.
   * @returns milliseconds
   */
  async now(): Promise<number> {
    const stored = await this.#read();
    if (stored !== undefined) {
      const gap = elapsedByGauge(stored.record, await this.#gaugeLeft(stored.record));
      if (gap <= STALE_MS) {
        return stored.record.elapsed_ms + gap + GAUGE_ERROR_MS;
      }
    }
    // Nothing had to be waited for lately, so nobody has moved it on.
    const moved = await this.#move(stored);
    return (moved ?? (await this.#read())?.record.elapsed_ms ?? 0) + GAUGE_ERROR_MS;
  }

  /**
   * Moves the clock on if this replica keeps it, or takes it over when its keeper is gone.
   * @returns what it says now, in milliseconds; undefined when another replica keeps it
   */
  async tick(): Promise<number | undefined> {
    if (!this.session.isAlive) {
      return undefined;
    }
    const stored = await this.#read();
    if (stored !== undefined && stored.record.keeper !== this.session.id) {
      if (await this.#lives(stored.record.keeper)) {
        return undefined;
      }
    }
    return this.#move(stored);
  }

  async #move(stored: { record: ClockRecord; revision: string } | undefined): Promise<number | undefined> {
    const keeper = this.session.id;
    if (stored === undefined) {
      const gauge = await this.#newGauge();
      return this.#writeWithGauge('0', { schema: 1, elapsed_ms: 0, keeper, ...gauge });
    }
    const { record, revision } = stored;
    const at = performance.now();
    const ownMs = this.#own?.revision === revision ? at - this.#own.at : undefined;
    const left = await this.#gaugeLeft(record);
    if (left <= 0) {
      // The gauge was revoked, or the cluster was restored from a backup.
      const elapsed_ms = record.elapsed_ms + Math.round(ownMs ?? 0);
      const gauge = await this.#newGauge();
      return this.#writeWithGauge(revision, { ...record, ...gauge, elapsed_ms, keeper }, at);
    }
    const elapsed_ms = record.elapsed_ms + Math.round(elapsedSince(record, left, ownMs));
    return this.#write(revision, { ...record, elapsed_ms, keeper, gauge_left_s: left }, at);
  }

  async #newGauge(): Promise<Pick<ClockRecord, 'gauge' | 'gauge_granted_s' | 'gauge_left_s'>> {
    const gauge = await grantLease(this.connection, GAUGE_SECONDS);
    return { gauge, gauge_granted_s: GAUGE_SECONDS, gauge_left_s: GAUGE_SECONDS };
  }

  /** In seconds; not above 0 when there is no such lease. */
  async #gaugeLeft({ gauge }: ClockRecord): Promise<number> {
    return Number((await this.connection.lease.leaseTimeToLive({ ID: gauge })).TTL);
  }

  async #read(): Promise<{ record: ClockRecord; revision: string } | undefined> {
    const { kvs } = await this.connection.kv.range({ key: Buffer.from(keys.clock) });
    const kv = kvs[0];
    return kv && { record: JSON.parse(kv.value.toString('utf8')) as ClockRecord, revision: kv.mod_revision };
  }

  async #lives(session: string): Promise<boolean> {
    const { count } = await this.connection.kv.range({
      key: Buffer.from(keys.owner(session)),
      count_only: true,
    });
    return Number(count) > 0;
  }

  /** A gauge that no record came to name would be there for years. */
  async #writeWithGauge(revision: string, record: ClockRecord, at?: number): Promise<number | undefined> {
    const elapsed = await this.#write(revision, record, at);
    if (elapsed === undefined && (await this.#read())?.record.gauge !== record.gauge) {
      await this.connection.lease.leaseRevoke({ ID: record.gauge });
    }
    return elapsed;
  }

  /** Only one replica can write on what it has read, so time is never counted twice. */
  async #write(revision: string, record: ClockRecord, at = performance.now()): Promise<number | undefined> {
    const key = Buffer.from(keys.clock);
    const { succeeded, header } = await this.connection.kv.txn({
      compare: [{ key, target: CompareTarget.Mod, result: CompareResult.Equal, mod_revision: revision }],
      success: [{ request_put: { key, value: Buffer.from(JSON.stringify(record)) } }],
    });
    this.#own = succeeded ? { revision: header.revision, at } : undefined;
    return succeeded ? record.elapsed_ms : undefined;
  }
}
