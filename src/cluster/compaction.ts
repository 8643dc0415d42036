import { type EtcdClient, within } from '../etcd/client.js';
import { Periodic, type PeriodicLog } from '../periodic.js';

const TIMEOUT_MS = 5_000;
/** So many revisions without any compaction are a sign that nobody compacts. */
const MANY_REVISIONS = 100_000;
/** etcd's words for a revision that is compacted already (its error ErrCompacted). */
const COMPACTED = /has been compacted/;

/**
 * Compacts the history of a cluster: every interval, up to the revision that was the latest an interval before. So
 * between one and two intervals of history are kept.
 *
 * Each replica does it by itself. That several do is harmless: compacting up to a revision that is compacted already
 * changes nothing. After a start the first compaction comes after one interval.
 */
export class Compaction {
  readonly #periodic: Periodic;
  #seen: string | undefined;

  /** @param intervalMs milliseconds */
  constructor(
    readonly connection: Pick<EtcdClient, 'kv'>,
    readonly intervalMs: number,
    readonly log: PeriodicLog,
  ) {
    this.#periodic = new Periodic({
      what: 'Compacting etcd',
      intervalMs,
      longestPauseMs: intervalMs,
      run: () => this.compact(),
      log,
    });
  }

  start(): void {
    this.#periodic.start(0);
  }

  stop(): Promise<void> {
    return this.#periodic.stop();
  }

  /** Compacts up to the revision of the call before, and remembers the one of now. */
  async compact(): Promise<void> {
    const revision = await latestRevision(this.connection);
    const seen = this.#seen;
    this.#seen = revision;
    if (seen === undefined || seen === revision) {
      return;
    }
    try {
      await this.connection.kv.compact({ revision: seen }, within(TIMEOUT_MS));
      this.log.info({ revision: seen }, 'etcd was compacted');
    } catch (error) {
      if (!COMPACTED.test((error as Error).message)) {
        throw error;
      }
    }
  }
}

/**
 * Whether a cluster compacts its history by itself, as far as that can be known: etcd does not tell its settings, but
 * whether its first revision can still be read.
 * @returns one line for the operator; undefined when it can't be told yet
 */
export async function compactionFinding(connection: Pick<EtcdClient, 'kv'>): Promise<string | undefined> {
  const revision = Number(await latestRevision(connection));
  try {
    await connection.kv.range({ key: PROBE, revision: '1', count_only: true }, within(TIMEOUT_MS));
  } catch (error) {
    if (COMPACTED.test((error as Error).message)) {
      return 'its history has been compacted before';
    }
    throw error;
  }
  return revision < MANY_REVISIONS
    ? undefined
    : `none of its ${revision} revisions has ever been compacted, so it will fill up: start etcd with --auto-compaction-retention=1h, or set ETCD_COMPACTION=1h to have the broker compact it`;
}

/** A key that is read for the header of the answer. */
const PROBE = Buffer.from('/_broker/v1/clock');

async function latestRevision({ kv }: Pick<EtcdClient, 'kv'>): Promise<string> {
  const { header } = await kv.range({ key: PROBE, count_only: true }, within(TIMEOUT_MS));
  return header.revision;
}
