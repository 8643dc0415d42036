import { createHash } from 'node:crypto';
import { encryptionKey, Sealer } from '../../../src/credentials/seal.js';
import { Secret } from '../../../src/credentials/secret.js';
import { Directory, type DirectoryParts } from '../../../src/portal/tenants/directory.js';
import type {
  FeedEnd,
  FeedEntry,
  FeedEvent,
  KeyFeed,
  WatchListener,
} from '../../../src/portal/tenants/feed.js';

export const seals = new Sealer([encryptionKey(new Secret(Buffer.alloc(32, 7).toString('base64')))]);
export const otherSeals = new Sealer([
  encryptionKey(new Secret(Buffer.alloc(32, 8).toString('base64'))),
  encryptionKey(new Secret(Buffer.alloc(32, 7).toString('base64'))),
]);

interface OpenWatch {
  prefix: string;
  next: number;
  listener: WatchListener;
  end: (reason: FeedEnd) => void;
}

/** A key-value store with revisions, history and compaction, seen as a feed; it can be away and cut its watches. */
export class FakeEtcd implements KeyFeed {
  revisionNow = 1;
  compactedAt = 0;
  isAway = false;
  lists = 0;
  watchesFrom: number[] = [];
  readonly entries = new Map<string, FeedEntry>();
  #history: FeedEvent[] = [];
  readonly #watches = new Set<OpenWatch>();

  put(key: string, value: string): void {
    const modRevision = ++this.revisionNow;
    const createRevision = this.entries.get(key)?.createRevision ?? modRevision;
    const entry = { key, value: Buffer.from(value), createRevision, modRevision };
    this.entries.set(key, entry);
    this.#tell({ type: 'put', ...entry });
  }

  delete(key: string): void {
    if (this.entries.delete(key)) {
      this.#tell({ type: 'delete', key, modRevision: ++this.revisionNow });
    }
  }

  compact(): void {
    this.compactedAt = this.revisionNow;
  }

  cut(reason: FeedEnd = 'cut'): void {
    for (const watch of [...this.#watches]) {
      watch.end(reason);
    }
  }

  get openWatches(): number {
    return this.#watches.size;
  }

  async list(prefix: string, onEntry: (entry: FeedEntry) => void): Promise<number> {
    this.lists += 1;
    await this.#answer();
    const revision = this.revisionNow;
    const found = [...this.entries.values()].filter(({ key }) => key.startsWith(prefix));
    for (const [index, entry] of found.entries()) {
      if (index === 2) {
        await this.#answer(); // another page
      }
      onEntry(entry);
    }
    return revision;
  }

  async revision(): Promise<number> {
    await this.#answer();
    return this.revisionNow;
  }

  async watch(prefix: string, from: number, listener: WatchListener, signal: AbortSignal): Promise<FeedEnd> {
    this.watchesFrom.push(from);
    await Promise.resolve();
    if (this.isAway || signal.aborted) {
      return 'cut';
    }
    if (from <= this.compactedAt) {
      return 'compacted';
    }
    return new Promise((resolve) => {
      const watch: OpenWatch = {
        prefix,
        next: from,
        listener,
        end: (reason) => {
          this.#watches.delete(watch);
          resolve(reason);
        },
      };
      signal.addEventListener('abort', () => watch.end('cut'), { once: true });
      this.#watches.add(watch);
      const missed = this.#history.filter((event) => matches(watch, event));
      if (missed.length > 0) {
        listener.onEvents(missed);
      }
    });
  }

  /** Back to an earlier state, as after a restore from a backup. */
  restore(revision: number, entries: readonly FeedEntry[]): void {
    this.revisionNow = revision;
    this.entries.clear();
    for (const entry of entries) {
      this.entries.set(entry.key, entry);
    }
    this.#history = [];
    this.cut();
  }

  async #answer(): Promise<void> {
    await Promise.resolve();
    if (this.isAway) {
      throw new Error('etcd is away');
    }
  }

  #tell(event: FeedEvent): void {
    this.#history.push(event);
    for (const watch of [...this.#watches]) {
      if (matches(watch, event)) {
        watch.listener.onEvents([event]);
      }
    }
  }
}

function matches(watch: OpenWatch, event: FeedEvent): boolean {
  return event.modRevision >= watch.next && event.key.startsWith(watch.prefix);
}

export const deploymentOf = (instance: number) => instance.toString(16).padStart(24, '0');
export const instanceKey = (instance: number) => `/_broker/v1/instances/instance-${instance}`;
export const bindingKey = (instance: number, binding: number) =>
  `/_broker/v1/bindings/instance-${instance}/binding-${binding}`;
export const usernameOf = (instance: number, binding: number) =>
  `d-${deploymentOf(instance)}-${binding.toString(16).padStart(16, '0')}`;

export function instanceRecord(instance: number, changes: object = {}): string {
  return JSON.stringify({
    schema: 1,
    instance_id: `instance-${instance}`,
    deployment_id: deploymentOf(instance),
    plan_id: 'standard',
    state: 'ready',
    parameters: {},
    ...changes,
  });
}

export function bindingRecord(
  instance: number,
  binding: number,
  changes: Record<string, unknown> = {},
): string {
  const { password = `password-${binding}`, sealer = seals, ...others } = changes;
  const username = usernameOf(instance, binding);
  return JSON.stringify({
    schema: 1,
    instance_id: `instance-${instance}`,
    binding_id: `binding-${binding}`,
    state: 'ready',
    deployment_id: deploymentOf(instance),
    role: username,
    username,
    key_space: `_${binding}`,
    key_prefix: `/d/${deploymentOf(instance)}/_${binding}/`,
    access: 'readwrite',
    attributes: { service_id: 's', plan_id: 'p', parameters: {} },
    sealed_password: (sealer as Sealer).seal(new Secret(password as string), username),
    ...others,
  });
}

export function digestOf(password: string): string {
  return createHash('sha256').update(password).digest().toString('latin1');
}

export function openDirectory(feed: KeyFeed, changes: Partial<DirectoryParts> = {}) {
  const warnings: { detail: Readonly<Record<string, string>>; text: string }[] = [];
  const directory = new Directory({
    feed,
    seals: otherSeals,
    quotaOf: () => 256 << 20,
    warn: (detail, text) => warnings.push({ detail, text }),
    follower: { firstPauseMs: 1, lastPauseMs: 2 },
    ...changes,
  });
  return { directory, warnings };
}

/** Waits for a positive sign, at most 5 s. */
export async function until(sign: () => boolean): Promise<void> {
  const end = performance.now() + 5_000;
  while (!sign()) {
    if (performance.now() > end) {
      throw new Error(`Waited in vain for ${sign}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
