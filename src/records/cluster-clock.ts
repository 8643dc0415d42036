import { CompareResult, CompareTarget } from 'etcd3/lib/rpc.js';
import { MalformedRecord } from '../broker/errors.js';
import { type EtcdClient, within } from '../etcd/client.js';
import { grantLease } from '../etcd/leases.js';
import {
  type ClockRecord,
  elapsedByGauge,
  elapsedSince,
  GAUGE_ERROR_MS,
  type GaugeReading,
  pauseBetweenWrites,
  STALE_MS,
} from './clock-reading.js';
import { keys } from './keys.js';

/** Ten years, in seconds. */
const GAUGE_SECONDS = 10 * 365 * 86_400;
const FAREWELL_TIMEOUT_MS = 3_000;

interface StoredClock {
  record: ClockRecord;
  revision: string;
}

/**
 * A clock that all replicas share and that no wall clock moves: it lives in etcd and is moved on by one replica, the
 * keeper, by its monotonic clock.
 *
 * Whoever reads the record can tell what has gone by since it was written: its keeper by its own clock, all others by
 * the gauge, a lease that runs down. So the record is written seldom, the more often the sooner something is due.
 */
export class ClusterClock {
  /** What this replica wrote last, and when by its monotonic clock. */
  #own: { revision: string; at: number } | undefined;

  constructor(
    readonly connection: EtcdClient,
    readonly session: { readonly id: string; readonly isAlive: boolean },
    readonly monotonic: () => number = () => performance.now(),
  ) {}

  /**
   * What the clock says, never less than the truth and at most 2 s more. It is written only where the gauge does not
   * tell that: another leader has started it anew, or nobody has kept the clock for long.
   * @returns milliseconds
   */
  async now(): Promise<number> {
    const stored = await this.#read();
    if (stored !== undefined) {
      const gauge = await this.#readGauge(stored.record);
      const gap = elapsedByGauge(stored.record, gauge.left_s);
      if (gauge.left_s > 0 && gauge.epoch === stored.record.epoch && gap <= STALE_MS) {
        return stored.record.elapsed_ms + gap + GAUGE_ERROR_MS;
      }
    }
    const moved = await this.#move(stored);
    return (moved ?? (await this.#read())?.record.elapsed_ms ?? 0) + GAUGE_ERROR_MS;
  }

  /**
   * Reads the clock if this replica keeps it, or takes it over when its keeper is gone.
   * @param nextDueMs the next moment on the clock that anybody waits for
   * @returns what it says now, in milliseconds; undefined when another replica keeps it
   */
  async tick(nextDueMs: number): Promise<number | undefined> {
    if (!this.session.isAlive) {
      return undefined;
    }
    const stored = await this.#read();
    if (stored !== undefined && stored.record.keeper !== this.session.id) {
      if (await this.#lives(stored.record.keeper)) {
        return undefined;
      }
    }
    if (stored !== undefined && this.#own?.revision === stored.revision) {
      const ownMs = this.monotonic() - this.#own.at;
      const gauge = await this.#readGauge(stored.record);
      const now = stored.record.elapsed_ms + elapsedSince(stored.record, gauge.left_s, ownMs);
      if (gauge.left_s > 0 && ownMs < pauseBetweenWrites(nextDueMs - now)) {
        return now;
      }
    }
    return this.#move(stored);
  }

  /** Writes down what the clock says if this replica keeps it. To be called before it stops. */
  async save(): Promise<void> {
    const stored = this.#own && (await this.#read(within(FAREWELL_TIMEOUT_MS)));
    if (stored !== undefined && stored.revision === this.#own?.revision) {
      await this.#move(stored);
    }
  }

  async #move(stored: StoredClock | undefined): Promise<number | undefined> {
    const keeper = this.session.id;
    if (stored === undefined) {
      const gauge = await this.#newGauge();
      return this.#writeWithGauge('0', { schema: 1, elapsed_ms: 0, keeper, ...gauge });
    }
    const { record, revision } = stored;
    const at = this.monotonic();
    const ownMs = this.#own?.revision === revision ? at - this.#own.at : undefined;
    const { left_s, epoch } = await this.#readGauge(record);
    if (left_s <= 0) {
      // The gauge was revoked, or the cluster was restored from a backup.
      const elapsed_ms = record.elapsed_ms + Math.round(ownMs ?? 0);
      const gauge = await this.#newGauge();
      return this.#writeWithGauge(revision, { ...record, ...gauge, elapsed_ms, keeper }, at);
    }
    const elapsed_ms = record.elapsed_ms + Math.round(elapsedSince(record, left_s, ownMs));
    return this.#write(revision, { ...record, elapsed_ms, keeper, gauge_left_s: left_s, epoch }, at);
  }

  async #newGauge(): Promise<Pick<ClockRecord, 'gauge' | 'gauge_granted_s' | 'gauge_left_s' | 'epoch'>> {
    const gauge = await grantLease(this.connection, GAUGE_SECONDS);
    const { left_s, epoch } = await this.#readGauge({ gauge });
    return { gauge, gauge_granted_s: GAUGE_SECONDS, gauge_left_s: left_s, epoch };
  }

  async #readGauge({ gauge }: Pick<ClockRecord, 'gauge'>): Promise<GaugeReading> {
    const { TTL, header } = await this.connection.lease.leaseTimeToLive({ ID: gauge });
    return { left_s: Number(TTL), epoch: epochOf(header) };
  }

  async #read(options?: { deadline: number }): Promise<StoredClock | undefined> {
    const { kvs } = await this.connection.kv.range({ key: Buffer.from(keys.clock) }, options);
    return kvs[0] && { record: parse(kvs[0].value), revision: kvs[0].mod_revision };
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
  async #write(revision: string, record: ClockRecord, at = this.monotonic()): Promise<number | undefined> {
    const key = Buffer.from(keys.clock);
    const { succeeded, header } = await this.connection.kv.txn({
      compare: [{ key, target: CompareTarget.Mod, result: CompareResult.Equal, mod_revision: revision }],
      success: [{ request_put: { key, value: Buffer.from(JSON.stringify(record)) } }],
    });
    this.#own = succeeded ? { revision: header.revision, at } : undefined;
    return succeeded ? record.elapsed_ms : undefined;
  }
}

function parse(value: Buffer): ClockRecord {
  try {
    return JSON.parse(value.toString('utf8')) as ClockRecord;
  } catch {
    throw new MalformedRecord(keys.clock, 'it is not JSON');
  }
}

/** Names the time in office of one leader, in one cluster: leases run down without a break in it. */
function epochOf({ cluster_id, raft_term }: { cluster_id: string; raft_term: string }): string {
  return `${cluster_id}.${raft_term}`;
}
