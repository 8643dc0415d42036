import { hash } from 'node:crypto';
import { unitsOf } from '../../broker/units.js';
import { keys } from '../../records/keys.js';
import type { FeedEntry, KeyFeed } from './feed.js';
import { Follower, type FollowerOptions, type PrefixSink } from './follower.js';
import {
  type BindingFacts,
  type InstanceFacts,
  MalformedRecord,
  readBinding,
  readInstance,
  type SealOpener,
} from './records.js';
import type { Tenant } from './tenant.js';
import { TenantTable } from './tenant-table.js';

/** Where portals tell each other what they count, and keep their token key and their floors of compaction. */
export const PORTAL_REGION = keys.portal;

/** A part of the portals' region, told to whoever it is for. */
export interface RegionReader extends PrefixSink {
  /** Begins with {@link PORTAL_REGION}. */
  readonly prefix: string;
}

export interface DirectoryParts {
  readonly feed: KeyFeed;
  readonly seals: SealOpener;
  /** The plan's quota for an instance, in bytes. */
  quotaOf(instance: InstanceFacts): number;
  readonly region?: readonly RegionReader[];
  /** Problems, for the log: a record that can't be read (by its key only), etcd being away, two key spaces' one tag. */
  warn(detail: Readonly<Record<string, string>>, text: string): void;
  readonly follower?: FollowerOptions;
}

/**
 * All bindings whose credentials work now, by user name, kept in step with the broker's records. It holds what a
 * portal needs of them and no more (see the README's sizing), and serves on with what it knows while etcd is away.
 */
export class Directory {
  readonly #table: TenantTable;
  readonly #followers: readonly Follower[];

  constructor(readonly parts: DirectoryParts) {
    this.#table = new TenantTable((detail, text) => parts.warn(detail, text));
    const options: FollowerOptions = {
      onFault: (prefix, error) =>
        parts.warn({ prefix, reason: error.message }, 'Records could not be followed; it is tried again'),
      ...parts.follower,
    };
    const follow = (prefix: string, sink: PrefixSink) => new Follower(parts.feed, prefix, sink, options);
    this.#followers = [
      follow(keys.instances, {
        put: (entry) => this.#putInstance(entry),
        remove: (key) => this.#table.removeInstance(key.slice(keys.instances.length)),
      }),
      follow(keys.bindings, {
        put: (entry) => this.#putBinding(entry),
        remove: (key) => this.#table.removeBinding(key.slice(keys.bindings.length)),
      }),
      // Not the whole region, where portals also write what other portals need not know.
      ...(parts.region ?? []).map((reader) => follow(reader.prefix, reader)),
    ];
  }

  start(): void {
    for (const follower of this.#followers) {
      follower.start();
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#followers.map((follower) => follower.stop()));
  }

  /** Resolves when everything was listed once: only from then on an unknown user is a wrong one. */
  async whole(): Promise<void> {
    await Promise.all(this.#followers.map((follower) => follower.whole));
  }

  get isWhole(): boolean {
    return this.#followers.every((follower) => follower.isWhole);
  }

  /** How long etcd has not been heard of on the quietest of the watches, in milliseconds. */
  get silentMs(): number {
    return Math.max(...this.#followers.map((follower) => follower.silentMs));
  }

  find(username: string): Tenant | undefined {
    return this.#table.find(username);
  }

  get size(): number {
    return this.#table.size;
  }

  [Symbol.iterator](): IterableIterator<Tenant> {
    return this.#table.tenants();
  }

  #putInstance({ key, value, createRevision }: FeedEntry): void {
    const name = key.slice(keys.instances.length);
    const facts = this.#read(key, () => readInstance(value));
    if (facts === undefined || !(facts.isReady || facts.isHeld)) {
      this.#table.removeInstance(name);
      return;
    }
    const { instanceId, deploymentId, isHeld, parameters } = facts;
    const settings = {
      instanceId,
      deploymentId,
      units: unitsOf(parameters),
      quotaBytes: this.parts.quotaOf(facts),
      isHeld,
      whitelist: parameters.whitelist,
    };
    this.#table.putInstance(name, settings, createRevision);
  }

  #putBinding({ key, value }: FeedEntry): void {
    const name = key.slice(keys.bindings.length);
    const facts = this.#read(key, () => {
      if (!name.includes('/')) {
        throw new MalformedRecord('Its key names no instance.');
      }
      const binding = readBinding(value);
      if (binding === undefined) {
        return undefined;
      }
      // Field by field: a spread costs a hidden class for each binding.
      const { username, keyPrefix, access, sealedEtcdPassword } = binding;
      return { username, keyPrefix, access, sealedEtcdPassword, passwordDigest: this.#digest(binding) };
    });
    if (facts === undefined) {
      this.#table.removeBinding(name);
    } else {
      this.#table.putBinding(name, facts);
    }
  }

  /**
   * The seal is opened once, when the record comes: a later reseal under another key changes nothing for the tenant,
   * and a sign-in costs the same whether the user exists or not.
   */
  #digest({ sealedPassword, username }: BindingFacts): string {
    const password = this.parts.seals.open(sealedPassword, username).reveal();
    return hash('sha256', password, 'buffer').toString('latin1');
  }

  /** One bad record must not stop the others, so it counts as none. */
  #read<T>(key: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.parts.warn({ key, reason: (error as Error).message }, 'A record can not be read; it is ignored');
      return undefined;
    }
  }
}
