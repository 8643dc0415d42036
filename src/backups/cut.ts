import type { IKeyValue, IRangeResponse } from 'etcd3';
import { deploymentPrefix, judgeKey } from '../broker/tenant-prefix.js';
import type { EtcdClient } from '../etcd/client.js';
import { EtcdError } from '../etcd/errors.js';
import { type KeyRange, keyAfter, rangeOfPrefix } from '../etcd/ranges.js';
import { sleep } from '../timing.js';
import type { BackupRecord } from './format/records.js';
import { LeaseIds } from './lease-ids.js';

/** The first page is small, since nothing is known yet of how long a tenant's values are. */
const FIRST_PAGE = 500;
/** Whatever the limit, etcd counts all that is left of the range: so a page is as large as memory allows. */
const LARGEST_PAGE = 10_000;
/** So many pages are read ahead of the one that is written. */
const AHEAD = 1;
/** The values of a page are to take about this much, in bytes. */
const PAGE_BYTES = 1 << 20;
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
  readonly #range: KeyRange;
  #limit = FIRST_PAGE;
  #tookMs = 0;

  /**
   * @param client takes answers of {@link LONGEST_PAGE_BYTES} and no longer ones
   * @param restFactor it rests so many times as long as a page took before it asks for the next, so that others hardly
   * notice
   */
  constructor(
    readonly client: EtcdClient,
    readonly deploymentId: string,
    readonly signal?: AbortSignal,
    readonly restFactor = 0,
  ) {
    this.#range = rangeOfPrefix(deploymentPrefix(deploymentId));
  }

  /** @throws RevisionCompacted, EtcdError, and the signal's reason */
  async *pages(): AsyncGenerator<BackupRecord[]> {
    const keySpaces = new KeySpaces(this.client, await this.#leases());
    // What is asked for comes while the pages before it are written.
    const asked: Promise<IRangeResponse | undefined>[] = [this.#first()];
    for (;;) {
      while (asked.length <= AHEAD) {
        const after = (asked.at(-1) as Promise<IRangeResponse | undefined>).then((page) => this.#after(page));
        after.catch(() => undefined); // it is told when it is waited for
        asked.push(after);
      }
      const page = await (asked.shift() as Promise<IRangeResponse | undefined>);
      if (page === undefined) {
        return;
      }
      this.progress = { ...this.progress, keys: this.progress.keys + page.kvs.length };
      yield await keySpaces.recordsOf(page.kvs);
    }
  }

  async #first(): Promise<IRangeResponse> {
    const page = await this.#page(this.#range.key);
    this.revision = page.header.revision;
    this.progress = { keys: 0, of: Number(page.count) };
    return page;
  }

  /** @returns undefined when a page was the last */
  async #after(page: IRangeResponse | undefined): Promise<IRangeResponse | undefined> {
    const last = page?.more ? page.kvs.at(-1) : undefined;
    return last && this.#page(keyAfter(last.key));
  }

  async #page(key: Buffer): Promise<IRangeResponse> {
    for (;;) {
      await this.#rest();
      this.signal?.throwIfAborted();
      const request = { ...this.#range, key, limit: this.#limit };
      const askedAt = performance.now();
      try {
        const page = await this.client.kv.range(
          this.revision === '' ? request : { ...request, revision: this.revision },
        );
        this.#adapt(page.kvs);
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
    if (this.restFactor > 0 && this.#tookMs > 0) {
      await sleep(Math.min(this.#tookMs * this.restFactor, LONGEST_REST_MS), this.signal);
    }
  }

  #adapt(kvs: readonly IKeyValue[]): void {
    const bytes = kvs.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
    const fitting = bytes === 0 ? this.#limit : Math.floor(PAGE_BYTES / (bytes / kvs.length));
    // Not much more at once: what comes next may be longer.
    this.#limit = Math.max(1, Math.min(LARGEST_PAGE, fitting, this.#limit * 4));
  }

  async #leases(): Promise<bigint[]> {
    const { leases } = await this.client.lease.leaseLeases();
    return leases.map(({ ID }) => BigInt(ID));
  }
}

/** Turns keys of etcd's into records, and brings in the key spaces and leases that they need. */
class KeySpaces {
  readonly #byTag = new Map<bigint, bigint[]>();
  #prefix = Buffer.alloc(0);
  #ids = new LeaseIds('');
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

  async recordsOf(kvs: readonly IKeyValue[]): Promise<BackupRecord[]> {
    const records: BackupRecord[] = [];
    const leases: { id: bigint; at: number; ids: LeaseIds }[] = [];
    const addLease = (id: bigint) => {
      if (id !== 0n && !this.#known.has(id)) {
        this.#known.add(id);
        leases.push({ id, at: records.length, ids: this.#ids });
        records.push({ type: 'lease', id, granted: 0, remaining: 0 });
      }
    };
    for (const { key, value, lease } of kvs) {
      if (this.#prefix.length === 0 || !key.subarray(0, this.#prefix.length).equals(this.#prefix)) {
        const { keySpace } = judgeKey(key.toString('latin1'));
        if (keySpace === undefined) {
          continue; // no tenant's
        }
        this.#prefix = Buffer.from(keySpace, 'latin1');
        this.#ids = new LeaseIds(keySpace);
        this.#known = new Set();
        records.push({ type: 'key space', name: keySpace.split('/').at(-2) as string });
        for (const id of this.#byTag.get(this.#ids.tag) ?? []) {
          addLease(id);
        }
      }
      const id = BigInt(lease);
      addLease(id);
      records.push({
        type: 'key',
        key: key.subarray(this.#prefix.length),
        value,
        lease: this.#ids.toBackup(id),
      });
    }
    for (let first = 0; first < leases.length; first += LEASES_AT_ONCE) {
      const some = leases.slice(first, first + LEASES_AT_ONCE);
      await Promise.all(
        some.map(async ({ id, at, ids }) => {
          records[at] = { type: 'lease', id: ids.toBackup(id), ...(await this.#times(id)) };
        }),
      );
    }
    return records;
  }

  /** In seconds; 0 remain of one that has run out since the revision of the cut. */
  async #times(id: bigint): Promise<{ granted: number; remaining: number }> {
    const { TTL, grantedTTL } = await this.client.lease.leaseTimeToLive({ ID: String(id) });
    return { granted: Math.max(0, Number(grantedTTL)), remaining: Math.max(0, Number(TTL)) };
  }
}

// The texts are etcd's (api/v3rpc/rpctypes/error.go) and grpc-go's.
const isCompacted = (error: unknown) =>
  error instanceof EtcdError && /required revision has been compacted/.test(error.message);
const isTooLong = (error: unknown) => error instanceof EtcdError && /larger than max/.test(error.message);
