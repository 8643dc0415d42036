import { deploymentPrefix, judgeKey } from '../broker/tenant-prefix.js';
import type { EtcdClient } from '../etcd/client.js';
import { EtcdError } from '../etcd/errors.js';
import type { RangePage } from '../etcd/messages/range-page.js';
import { RangeWalk } from '../etcd/range-walk.js';
import { type KeyRange, rangeOfPrefix } from '../etcd/ranges.js';
import { sleep } from '../timing.js';
import type { BackupRecord } from './format/records.js';
import { LeaseIds } from './lease-ids.js';

/** How much of the cluster's time a cut takes. */
export interface Pace {
  /** Keys in a page, at most. */
  largestPage: number;
  /** The keys and values of a page are to take about this much, in bytes. */
  pageBytes: number;
  /** It rests so many times as long as a page took before it asks for the next. */
  restFactor: number;
}

/** Somebody waits for it. */
export const HURRIED: Pace = { largestPage: 10_000, pageBytes: 1 << 20, restFactor: 0 };
/** Nobody waits for it, so others are hardly to notice: short pages, and all but a fiftieth of the time left to them. */
export const PATIENT: Pace = { largestPage: 1_000, pageBytes: 256 << 10, restFactor: 49 };

/** The first page is small, since nothing is known yet of how long a tenant's values are. */
const FIRST_PAGE = 500;
/** A page that turns out longer is not read: the next try asks for fewer keys. */
export const LONGEST_PAGE_BYTES = 16 << 20;
const LONGEST_REST_MS = 5_000;
/** So many leases are asked for at a time. */
const LEASES_AT_ONCE = 16;

/** The history at a cut's revision is gone: it has to begin again, at another. */
export class RevisionCompacted extends Error {
  override readonly name = 'RevisionCompacted';
}

export interface CutProgress {
  readonly keys: number;
  readonly of: number;
}

/**
 * All that a deployment holds at one revision of the cluster, in the order of its keys. Leases are told as they are
 * when their first key is read.
 */
export class Cut {
  /** Known when the first page has come. */
  revision = '';
  progress: CutProgress = { keys: 0, of: 0 };
  #limit = FIRST_PAGE;
  #tookMs = 0;

  /** @param client takes answers of {@link LONGEST_PAGE_BYTES} and no longer ones */
  constructor(
    readonly client: EtcdClient,
    readonly deploymentId: string,
    readonly signal?: AbortSignal,
    readonly pace: Pace = HURRIED,
  ) {}

  /**
   * The records, a page of etcd's at a time.
   * @throws RevisionCompacted, EtcdError, and the signal's reason
   */
  async *pages(): AsyncGenerator<Iterable<BackupRecord>> {
    const keySpaces = new KeySpaces(this.client, await this.#leases());
    const walk = new RangeWalk(rangeOfPrefix(deploymentPrefix(this.deploymentId)));
    for (let { next } = walk; next !== undefined; { next } = walk) {
      const limit = this.#limit;
      const page = await this.#page(next);
      if (this.revision === '') {
        this.revision = page.revision;
        this.progress = { keys: 0, of: page.count };
      }
      yield await keySpaces.recordsOf(page);
      this.progress = { ...this.progress, keys: this.progress.keys + page.length };
      const { lastKey: last, more, count } = page;
      walk.read({ first: page.firstKey, last, more, count, limit });
    }
  }

  async #page(range: KeyRange): Promise<RangePage> {
    for (;;) {
      await this.#rest();
      this.signal?.throwIfAborted();
      const request = { ...range, limit: this.#limit };
      const askedAt = performance.now();
      try {
        const page = await this.client.rangePage(
          this.revision === '' ? request : { ...request, revision: this.revision },
        );
        this.#adapt(page);
        this.#tookMs = performance.now() - askedAt;
        return page;
      } catch (error) {
        if (isTooLong(error) && this.#limit > 1) {
          this.#limit = Math.max(1, this.#limit >> 2);
          continue;
        }
        throw isCompacted(error)
          ? new RevisionCompacted('The history was compacted', { cause: error })
          : error;
      }
    }
  }

  async #rest(): Promise<void> {
    const rest = this.#tookMs * this.pace.restFactor;
    if (rest > 0) {
      await sleep(Math.min(rest, LONGEST_REST_MS), this.signal);
    }
  }

  #adapt({ bytes, length }: RangePage): void {
    const { largestPage, pageBytes } = this.pace;
    const fitting = length === 0 ? this.#limit : Math.floor((pageBytes * length) / bytes.length);
    // Not much more at once: what comes next may be longer.
    this.#limit = Math.max(1, Math.min(largestPage, fitting, this.#limit * 4));
  }

  async #leases(): Promise<bigint[]> {
    const { leases } = await this.client.lease.leaseLeases();
    return leases.map(({ ID }) => BigInt(ID));
  }
}

/** From one key on, keys have this prefix, and these ids of leases. */
interface Segment {
  from: number;
  /** undefined where the keys are no tenant's. */
  prefix: Buffer | undefined;
  ids: LeaseIds;
}

/** Turns keys of etcd's into records, and brings in the key spaces and leases that they need. */
class KeySpaces {
  readonly #byTag = new Map<bigint, bigint[]>();
  #segment: Segment = { from: 0, prefix: undefined, ids: new LeaseIds('') };
  #known = new Set<bigint>();

  /** @param leases all that there are in the cluster */
  constructor(
    readonly client: EtcdClient,
    leases: readonly bigint[],
  ) {
    for (const id of leases) {
      const tag = LeaseIds.tagIn(id);
      this.#byTag.set(tag, [...(this.#byTag.get(tag) ?? []), id]);
    }
  }

  async recordsOf(page: RangePage): Promise<Iterable<BackupRecord>> {
    const segments: Segment[] = [{ ...this.#segment, from: 0 }];
    const before = new Map<number, BackupRecord[]>();
    const leases: { id: bigint; ids: LeaseIds; records: BackupRecord[]; at: number }[] = [];
    let index = -1;
    for (const { key, lease } of page) {
      index += 1;
      const isNew = !hasPrefix(key, this.#segment.prefix);
      if (isNew) {
        this.#enter(key, index);
        segments.push(this.#segment);
      }
      const { prefix, ids } = this.#segment;
      if (prefix === undefined || (!isNew && (lease === 0n || this.#known.has(lease)))) {
        continue;
      }
      const records: BackupRecord[] = isNew ? [{ type: 'key space', name: nameOf(prefix) }] : [];
      // The leases of a key space come with it, also those without keys.
      for (const id of isNew ? [...(this.#byTag.get(ids.tag) ?? []), lease] : [lease]) {
        if (id !== 0n && !this.#known.has(id)) {
          this.#known.add(id);
          leases.push({ id, ids, records, at: records.length });
          records.push({ type: 'lease', id, granted: 0, remaining: 0 });
        }
      }
      before.set(index, records);
    }
    for (let first = 0; first < leases.length; first += LEASES_AT_ONCE) {
      const some = leases.slice(first, first + LEASES_AT_ONCE);
      await Promise.all(
        some.map(async ({ id, ids, records, at }) => {
          records[at] = { type: 'lease', id: ids.toBackup(id), ...(await this.#times(id)) };
        }),
      );
    }
    return { [Symbol.iterator]: () => recordsBetween(page, segments, before) };
  }

  #enter(key: Buffer, from: number): void {
    const { keySpace } = judgeKey(key.toString('latin1'));
    const prefix = keySpace === undefined ? undefined : Buffer.from(keySpace, 'latin1');
    this.#segment = { from, prefix, ids: new LeaseIds(keySpace ?? '') };
    this.#known = new Set();
  }

  /** In seconds; 0 remain of one that has run out since the revision of the cut. */
  async #times(id: bigint): Promise<{ granted: number; remaining: number }> {
    const { TTL, grantedTTL } = await this.client.lease.leaseTimeToLive({ ID: String(id) });
    return { granted: Math.max(0, Number(grantedTTL)), remaining: Math.max(0, Number(TTL)) };
  }
}

/** Made while they are looked at: thousands of them together would take many times the memory of their bytes. */
function* recordsBetween(
  page: RangePage,
  segments: readonly Segment[],
  before: ReadonlyMap<number, readonly BackupRecord[]>,
): Generator<BackupRecord> {
  let [index, at] = [0, 0];
  for (const { key, value, lease } of page) {
    if (segments[at + 1]?.from === index) {
      at += 1;
    }
    yield* before.get(index) ?? [];
    const { prefix, ids } = segments[at] as Segment;
    if (prefix !== undefined) {
      yield { type: 'key', key: key.subarray(prefix.length), value, lease: ids.toBackup(lease) };
    }
    index += 1;
  }
}

function hasPrefix(key: Buffer, prefix: Buffer | undefined): boolean {
  return (
    prefix !== undefined &&
    key.length >= prefix.length &&
    key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0
  );
}

function nameOf(prefix: Buffer): string {
  return prefix.toString('latin1').split('/').at(-2) as string;
}

// The texts are etcd's (api/v3rpc/rpctypes/error.go) and grpc-go's.
const isCompacted = (error: unknown) =>
  error instanceof EtcdError && /required revision has been compacted/.test(error.message);
const isTooLong = (error: unknown) => error instanceof EtcdError && /larger than max/.test(error.message);
