import { createHash, type Hash } from 'node:crypto';
import type { ICompare } from 'etcd3';
import { Overtaken } from '../broker/restore-errors.js';
import { keySpacePrefix } from '../broker/tenant-prefix.js';
import type { EtcdClient } from '../etcd/client.js';
import { isEtcdError } from '../etcd/errors.js';
import { chooseLeaseId } from '../etcd/leases.js';
import { BackupDamaged, type BackupRecord, type KeyRecord, type LeaseRecord } from './format/records.js';
import { LeaseIds } from './lease-ids.js';

/** etcd's `--max-txn-ops`. */
const MOST_PUTS = 128;
/** Well below etcd's `--max-request-bytes`; a longer value is put by itself. */
const MOST_BYTES = 1 << 20;
/** So many transactions are under way at a time. */
const AT_ONCE = 4;
const NAME = /^([a-z0-9][a-z0-9-]{0,62}|_[0-9a-f]{16})$/;

/**
 * Adds up what a deployment holds, each key space in the order of its keys, so that two can be compared. Keys that hang
 * on leases count as none: they go when their time is up.
 */
export class Contents {
  readonly #keySpaces = new Map<string, { digest: Hash; keys: number }>();

  add(keySpace: string, { key, value, lease }: KeyRecord): void {
    if (lease !== 0n) {
      return;
    }
    let entry = this.#keySpaces.get(keySpace);
    if (entry === undefined) {
      entry = { digest: createHash('sha256'), keys: 0 };
      this.#keySpaces.set(keySpace, entry);
    }
    entry.keys += 1;
    const head = Buffer.alloc(8);
    head.writeUInt32BE(key.length);
    head.writeUInt32BE(value.length, 4);
    entry.digest.update(head).update(key).update(value);
  }

  sum(): { keys: number; sha256: string } {
    const sums = [...this.#keySpaces].map(([name, { digest, keys }]) => ({
      keys,
      text: `${name} ${keys} ${digest.copy().digest('hex')}`,
    }));
    const all = sums.map(({ text }) => text).sort();
    return {
      keys: sums.reduce((sum, { keys }) => sum + keys, 0),
      sha256: createHash('sha256').update(all.join('\n')).digest('hex'),
    };
  }
}

export const sameName = (name: string) => name;

interface Put {
  key: Buffer;
  value: Buffer;
  lease?: string;
}

/** Puts what a backup holds into a deployment that has no keys. */
export class Fill {
  readonly contents = new Contents();
  keys = 0;
  #keySpace: { name: string; prefix: string; ids: LeaseIds } | undefined;
  readonly #leases = new Map<bigint, string>();
  readonly #underWay = new Set<Promise<void>>();
  #puts: Put[] = [];
  #bytes = 0;
  #failure: { error: unknown } | undefined;

  /**
   * @param before called before each change; throws to stop
   * @param guard each change finds this to be so, or is none
   */
  constructor(
    readonly client: EtcdClient,
    readonly deploymentId: string,
    readonly before: () => void,
    readonly guard: readonly ICompare[],
    readonly nameOf: (name: string) => string = sameName,
  ) {}

  /** @throws EtcdError, BackupDamaged, Overtaken */
  async add(records: readonly BackupRecord[]): Promise<void> {
    for (const record of records) {
      switch (record.type) {
        case 'key space':
          this.#enter(record.name);
          break;
        case 'lease':
          await this.#grant(record);
          break;
        case 'key':
          await this.#put(record);
          break;
      }
    }
  }

  /** Sends what is left, and waits for all of it. */
  async end(): Promise<void> {
    await this.#send();
    await this.settle();
    this.#throwIfFailed();
  }

  /** Waits for what is under way, however it ends. */
  async settle(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  #enter(saved: string): void {
    const name = this.nameOf(saved);
    // It becomes a part of keys, so that a backup from elsewhere must not name what is not a key space.
    if (!NAME.test(name)) {
      throw new BackupDamaged('The backup names a key space that can not be one.');
    }
    const prefix = keySpacePrefix(this.deploymentId, name);
    this.#keySpace = { name, prefix, ids: new LeaseIds(prefix) };
    this.#leases.clear();
  }

  get #current() {
    if (this.#keySpace === undefined) {
      throw new BackupDamaged('The backup has keys before their key space.');
    }
    return this.#keySpace;
  }

  async #grant({ id, remaining }: LeaseRecord): Promise<void> {
    this.before();
    const inEtcd = this.#current.ids.toEtcd(id);
    const ID = inEtcd === undefined ? chooseLeaseId() : String(inEtcd);
    const { lease } = this.client;
    const request = { ID, TTL: Math.max(1, remaining) };
    try {
      await lease.leaseGrant(request);
    } catch (error) {
      if (!isEtcdError(error, 'already-exists')) {
        throw error;
      }
      // Of an attempt before this one, with less time left by now.
      await lease.leaseRevoke({ ID });
      await lease.leaseGrant(request);
    }
    this.#leases.set(id, ID);
  }

  async #put(record: KeyRecord): Promise<void> {
    const { prefix, name } = this.#current;
    const lease = record.lease === 0n ? undefined : this.#leases.get(record.lease);
    if (record.lease !== 0n && lease === undefined) {
      throw new BackupDamaged('The backup has a key before its lease.');
    }
    this.contents.add(name, record);
    // Copies: what comes is a part of larger buffers.
    const key = Buffer.concat([Buffer.from(prefix, 'latin1'), record.key]);
    const value = Buffer.from(record.value);
    if (this.#puts.length === MOST_PUTS || this.#bytes + value.length + key.length > MOST_BYTES) {
      await this.#send();
    }
    this.#puts.push({ key, value, ...(lease === undefined ? {} : { lease }) });
    this.#bytes += key.length + value.length;
  }

  async #send(): Promise<void> {
    const puts = this.#puts;
    if (puts.length === 0) {
      return;
    }
    this.#puts = [];
    this.#bytes = 0;
    this.before();
    const sent = this.#putAll(puts)
      .then(() => {
        this.keys += puts.length;
      })
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#underWay.delete(sent));
    this.#underWay.add(sent);
    if (this.#underWay.size >= AT_ONCE) {
      await Promise.race(this.#underWay);
    }
    this.#throwIfFailed();
  }

  async #putAll(puts: readonly Put[]): Promise<void> {
    try {
      await this.#txn(puts);
    } catch (error) {
      if (!isEtcdError(error, 'not-found')) {
        throw error;
      }
      // A lease of theirs has run out, and what hangs on it with it. The others are put all the same.
      const [leased, rest] = [puts.filter(({ lease }) => lease), puts.filter(({ lease }) => !lease)];
      await this.#txn(rest);
      for (const put of leased) {
        await this.#txn([put]).catch((failure: unknown) => {
          if (!isEtcdError(failure, 'not-found')) {
            throw failure;
          }
        });
      }
    }
  }

  async #txn(puts: readonly Put[]): Promise<void> {
    const success = puts.map((request_put) => ({ request_put }));
    const { succeeded } = await this.client.kv.txn({ compare: [...this.guard], success, failure: [] });
    if (!succeeded) {
      throw new Overtaken('The instance is no more to be filled.');
    }
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) {
      throw this.#failure.error;
    }
  }
}

/** Adds up what a deployment holds now. @param pages of a cut */
export async function contentsOf(pages: AsyncIterable<Iterable<BackupRecord>>): Promise<Contents> {
  const contents = new Contents();
  let keySpace = '';
  for await (const records of pages) {
    for (const record of records) {
      if (record.type === 'key space') {
        keySpace = record.name;
      } else if (record.type === 'key') {
        contents.add(keySpace, record);
      }
    }
  }
  return contents;
}
