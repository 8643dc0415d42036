import type { IKeyValue } from 'etcd3/lib/rpc.js';
import { Conflict, InvalidRequest, NotFound } from '../broker/errors.js';
import { afterPrefix, deploymentPrefix, KEY_SPACE, keySpacePrefix } from '../broker/tenant-prefix.js';
import type { EtcdClient } from '../etcd/client.js';
import { EtcdError } from '../etcd/errors.js';
import { RangeWalk } from '../etcd/range-walk.js';
import { keyAfter, prefixEnd, rangeOfPrefix } from '../etcd/ranges.js';
import { type KeyWatch, type KeyWatchHandlers, watchKeys } from './key-watch.js';

/** So many key spaces of an instance are told of. */
const MOST_KEY_SPACES = 200;
/** So many entries are on one page of a level. */
export const PAGE_ENTRIES = 100;
/** So many keys are read by one call, and so many calls are made for one page: folders of many keys are skipped. */
const KEYS_A_CALL = 500;
const CALLS_A_PAGE = 40;
/** So many versions of a key are looked for, each by a call. */
const MOST_VERSIONS = 20;
/** So many bytes of each older value are kept. */
const HISTORY_BYTES = 256;
/** What etcd takes in one request. */
const LONGEST_VALUE = 1 << 20;
const LONGEST_KEY = 4_096;

export interface KeySpaceCount {
  name: string;
  keys: number;
}

/** One line of a level: a key, or a folder of all keys that go on with a `/` after the same name. */
export interface TreeEntry {
  kind: 'key' | 'folder';
  /** The whole key without the key space's prefix, or its beginning up to and with the `/`. */
  key: Buffer;
}

export interface TreeLevel {
  entries: TreeEntry[];
  /** Where the next page begins; undefined at the end. */
  next?: Buffer;
}

/** Which key of which tenant. */
export interface KeyPlace {
  deploymentId: string;
  keySpace: string;
  /** Without the key space's prefix. */
  key: Buffer;
}

/** A record of the broker and the revision at which it was read. */
export interface KeyGuard {
  key: string;
  revision: string;
}

export interface KeyVersion {
  value: Buffer;
  /** The length of the whole value, in bytes. */
  size: number;
  /** etcd's revision of the change that made it. */
  revision: string;
  version: string;
  /** `0` without one. */
  lease: string;
}

/** Looks at tenants' keys and writes single ones, as people do; applications have the portals. */
export class KeyBrowser {
  constructor(readonly client: EtcdClient) {}

  /** The key spaces of a deployment that hold keys. */
  async keySpaces(deploymentId: string): Promise<KeySpaceCount[]> {
    const prefix = deploymentPrefix(deploymentId);
    const end = prefixEnd(prefix);
    const found: KeySpaceCount[] = [];
    let from: Buffer = Buffer.from(prefix);
    while (found.length < MOST_KEY_SPACES) {
      const { kvs } = await this.client.kv.range({ key: from, range_end: end, limit: 1, keys_only: true });
      const name = kvs[0]?.key.toString('latin1').slice(prefix.length).split('/')[0];
      if (name === undefined) {
        break;
      }
      const own = keySpacePrefix(deploymentId, name);
      const { count } = await this.client.kv.range({ ...rangeOfPrefix(own), count_only: true });
      found.push({ name, keys: Number(count) });
      from = Buffer.from(afterPrefix(own), 'latin1');
    }
    return found;
  }

  /**
   * One level of the tree of a key space's keys.
   * @param folder what the keys begin with; empty for the root
   * @param from where the page begins: the `next` of the page before
   */
  async level(deploymentId: string, keySpace: string, folder: Buffer, from?: Buffer): Promise<TreeLevel> {
    const prefix = Buffer.concat([this.#prefix(deploymentId, keySpace), folder]);
    const end = prefixEnd(prefix);
    const own = prefix.length - folder.length;
    const entries: TreeEntry[] = [];
    let key: Buffer = from === undefined ? prefix : Buffer.concat([prefix.subarray(0, own), from]);
    if (key.compare(prefix) < 0) {
      key = prefix;
    }
    const walk = new RangeWalk({ key, range_end: end });
    for (let calls = 0; calls < CALLS_A_PAGE; calls += 1) {
      const { next } = walk;
      if (next === undefined) {
        return { entries };
      }
      const request = { ...next, limit: KEYS_A_CALL, keys_only: true };
      const { kvs, more, count } = await this.client.kv.range(request);
      for (const kv of kvs) {
        if (kv.key.compare(key) < 0) {
          continue; // in a folder that is told of already
        }
        if (entries.length === PAGE_ENTRIES) {
          return { entries, next: kv.key.subarray(own) };
        }
        const slash = kv.key.indexOf('/', prefix.length);
        const isFolder = slash >= 0;
        const name = isFolder ? kv.key.subarray(0, slash + 1) : kv.key;
        entries.push({ kind: isFolder ? 'folder' : 'key', key: name.subarray(own) });
        key = isFolder ? prefixEnd(name) : keyAfter(kv.key);
      }
      const [first, last] = [kvs[0]?.key, kvs.at(-1)?.key];
      walk.read({ first, last, more, count: Number(count), limit: KEYS_A_CALL });
      walk.skipTo(key);
    }
    return walk.next === undefined ? { entries } : { entries, next: walk.next.key.subarray(own) };
  }

  /** @returns undefined when there is no such key */
  async read(place: KeyPlace): Promise<KeyVersion | undefined> {
    const { kvs } = await this.client.kv.range({ key: this.#key(place) });
    return kvs[0] && versionOf(kvs[0]);
  }

  /**
   * The versions of a key that etcd still has, the newest first, with the beginnings of their values. One that it lacks
   * was deleted, or compacted.
   */
  async history(place: KeyPlace): Promise<KeyVersion[]> {
    const name = this.#key(place);
    const found: KeyVersion[] = [];
    let revision: string | undefined;
    try {
      while (found.length < MOST_VERSIONS && revision !== '0') {
        const { kvs } = await this.client.kv.range(
          revision === undefined ? { key: name } : { key: name, revision },
        );
        if (kvs[0] === undefined) {
          break;
        }
        const version = versionOf(kvs[0]);
        found.push({ ...version, value: Buffer.from(version.value.subarray(0, HISTORY_BYTES)) });
        revision = String(BigInt(kvs[0].mod_revision) - 1n);
      }
    } catch (error) {
      // The end of what etcd remembers.
      if (!(error instanceof EtcdError && /compacted/.test(error.message))) {
        throw error;
      }
    }
    return found;
  }

  /**
   * Writes a key, which keeps its lease.
   * @param seen the revision that the person saw; `0` where there was no such key
   * @param guard a record that must be as it was read, so that nothing is written to an instance that is gone
   * @throws Conflict when either is another by now, InvalidRequest
   */
  async put(place: KeyPlace, value: Buffer, seen: string, guard: KeyGuard): Promise<void> {
    if (value.length > LONGEST_VALUE) {
      throw new InvalidRequest(`A value may have ${LONGEST_VALUE} bytes here; this one has ${value.length}.`);
    }
    const key = this.#key(place);
    await this.#ifSeen(key, seen, guard, {
      request_put: { key, value, ...(seen === '0' ? {} : { ignore_lease: true }) },
    });
  }

  /** @throws Conflict as {@link put} does, NotFound, InvalidRequest */
  async delete(place: KeyPlace, seen: string, guard: KeyGuard): Promise<void> {
    if (seen === '0') {
      throw new NotFound('There is no such key.');
    }
    const key = this.#key(place);
    await this.#ifSeen(key, seen, guard, { request_delete_range: { key } });
  }

  /** Watches one key, or all that begin with a folder's name. @throws NotFound, InvalidRequest */
  watch(
    { deploymentId, keySpace }: Pick<KeyPlace, 'deploymentId' | 'keySpace'>,
    { key, folder, start }: { key?: Buffer | undefined; folder: Buffer; start?: string | undefined },
    handlers: KeyWatchHandlers,
  ): Promise<KeyWatch> {
    const prefix = this.#prefix(deploymentId, keySpace);
    const range =
      key === undefined
        ? rangeOfPrefix(Buffer.concat([prefix, folder]))
        : { key: this.#key({ deploymentId, keySpace, key }) };
    return watchKeys(this.client, range, prefix.length, start, handlers);
  }

  async #ifSeen(key: Buffer, seen: string, guard: KeyGuard, change: object): Promise<void> {
    if (!/^\d{1,19}$/.test(seen)) {
      throw new InvalidRequest('The revision of the key must be a number.');
    }
    const { succeeded } = await this.client.kv.txn({
      compare: [
        { key, target: 'Mod', result: 'Equal', mod_revision: seen },
        { key: Buffer.from(guard.key), target: 'Mod', result: 'Equal', mod_revision: guard.revision },
      ],
      success: [change],
      failure: [],
    });
    if (!succeeded) {
      throw new Conflict('The key has been changed meanwhile. Look at it again before you write.');
    }
  }

  #prefix(deploymentId: string, keySpace: string): Buffer {
    if (!KEY_SPACE.test(keySpace)) {
      throw new NotFound('There is no such key space.');
    }
    return Buffer.from(keySpacePrefix(deploymentId, keySpace), 'latin1');
  }

  #key({ deploymentId, keySpace, key }: KeyPlace): Buffer {
    if (key.length === 0 || key.length > LONGEST_KEY) {
      throw new InvalidRequest(`A key has 1 to ${LONGEST_KEY} bytes here.`);
    }
    return Buffer.concat([this.#prefix(deploymentId, keySpace), key]);
  }
}

function versionOf({ value, mod_revision, version, lease }: IKeyValue): KeyVersion {
  return { value, size: value.length, revision: mod_revision, version, lease };
}
