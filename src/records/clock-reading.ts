/**
 * The record of the cluster's clock. It counts milliseconds and belongs to one replica at a time, its keeper.
 */
export interface ClockRecord {
  schema: 1;
  elapsed_ms: number;
  /** The session of the replica that keeps it. */
  keeper: string;
  /** A lease of etcd's that runs down for years; it measures the time in which no replica kept the clock. */
  gauge: string;
  /** The lease's granted and remaining time when the record was written, in seconds. */
  gauge_granted_s: number;
  gauge_left_s: number;
  /** The cluster and the leader's term in which the gauge was read; absent in records of earlier releases. */
  epoch?: string;
}

/** What the gauge says: the seconds that are left, not above 0 when there is no such lease, and the epoch. */
export interface GaugeReading {
  left_s: number;
  epoch: string;
}

const SHORTEST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 600_000;
/** For what is overdue already: it may be stuck for long, and waits for nothing that the clock could tell. */
const OVERDUE_PAUSE_MS = 60_000;
const SHARE = 1 / 100;
/**
 * A record that is older is not read by the gauge any more, in milliseconds, but written: nobody keeps the clock, and
 * over days the clocks of two machines differ by more than the gauge's error.
 */
export const STALE_MS = 2 * LONGEST_PAUSE_MS;

/**
 * How long the clock's keeper may go on without writing it, in milliseconds: a hundredth of the time until the next
 * due moment, between a second and ten minutes. That is also the most by which expiry is late if the keeper dies and
 * etcd elects another leader before the next write.
 */
export function pauseBetweenWrites(untilDueMs: number): number {
  if (untilDueMs <= 0) {
    return OVERDUE_PAUSE_MS;
  }
  return Math.min(Math.max(untilDueMs * SHARE, SHORTEST_PAUSE_MS), LONGEST_PAUSE_MS);
}

/** The gauge counts whole seconds, so two readings of it may be off by nearly this much, in milliseconds. */
export const GAUGE_ERROR_MS = 1_000;

/**
 * How much time has gone by since the record was written, by the gauge, in milliseconds.
 *
 * etcd starts a lease's time anew when it elects a leader; then what has run down since is all that is certain.
 */
export function elapsedByGauge(record: ClockRecord, gaugeLeftSeconds: number): number {
  const seconds =
    gaugeLeftSeconds <= record.gauge_left_s
      ? record.gauge_left_s - gaugeLeftSeconds
      : record.gauge_granted_s - gaugeLeftSeconds;
  return Math.max(0, seconds) * 1_000;
}

/**
 * How much time has gone by since the record was written, in milliseconds. Its keeper knows that from its own
 * monotonic clock, unless that stood still (a suspended machine); a new keeper knows it from the gauge, which etcd
 * runs down whether brokers live or not.
 *
 * @param ownMs by this process's monotonic clock, undefined when another replica wrote the record
 */
export function elapsedSince(
  record: ClockRecord,
  gaugeLeftSeconds: number,
  ownMs: number | undefined,
): number {
  const byGauge = elapsedByGauge(record, gaugeLeftSeconds);
  if (ownMs === undefined) {
    return byGauge;
  }
  return byGauge > ownMs + 2 * GAUGE_ERROR_MS ? byGauge - GAUGE_ERROR_MS : ownMs;
}
