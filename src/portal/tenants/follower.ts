import { setTimeout as sleep } from 'node:timers/promises';
import type { FeedEntry, FeedEvent, KeyFeed } from './feed.js';

/** What is told of one prefix. An entry may be told twice; the newer one counts. */
export interface PrefixSink {
  put(entry: FeedEntry): void;
  /** May name a key that was never told. */
  remove(key: string): void;
}

export interface FollowerOptions {
  /** A list takes at most this long, in milliseconds. */
  listTimeoutMs?: number;
  /** Pauses between attempts, in milliseconds: doubled from the first to the last. */
  firstPauseMs?: number;
  lastPauseMs?: number;
  now?: () => number;
  /** Told of every attempt that failed. */
  onFault?: (prefix: string, reason: Error) => void;
}

const READ_TIMEOUT_MS = 5_000;

/**
 * Keeps one prefix in step with etcd: lists it once, watches it, resumes after a cut from the last revision, and lists
 * again when that revision was compacted or the cluster went back in time (restored from a backup). While etcd is
 * away nothing is forgotten.
 */
export class Follower {
  readonly #stop = new AbortController();
  /** Key to the number of the list that told it last: what a new list does not tell is gone. */
  readonly #seen = new Map<string, number>();
  #lists = 0;
  #revision: number | undefined;
  #heardAt = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;
  #whole!: () => void;
  /** Resolves when the prefix was listed for the first time. */
  readonly whole = new Promise<void>((resolve) => {
    this.#whole = resolve;
  });

  constructor(
    readonly feed: KeyFeed,
    readonly prefix: string,
    readonly sink: PrefixSink,
    readonly options: FollowerOptions = {},
  ) {}

  get isWhole(): boolean {
    return this.#revision !== undefined;
  }

  /** How long etcd has not been heard of, in milliseconds; infinite before the first list. */
  get silentMs(): number {
    return this.#now() - this.#heardAt;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { firstPauseMs = 100, lastPauseMs = 2_000 } = this.options;
    let pause = firstPauseMs;
    while (!this.#stop.signal.aborted) {
      const heardBefore = this.#heardAt;
      try {
        await this.#follow();
      } catch (error) {
        if (!this.#stop.signal.aborted) {
          this.options.onFault?.(this.prefix, error as Error);
        }
      }
      pause = this.#heardAt > heardBefore ? firstPauseMs : Math.min(pause * 2, lastPauseMs);
      // Half of it at random, so that portals do not all come back at the same moment.
      await sleep(pause * (0.5 + Math.random() / 2), undefined, { signal: this.#stop.signal }).catch(
        ignoreAbort,
      );
    }
  }

  async #follow(): Promise<void> {
    if (this.#revision === undefined || (await this.#isRewound(this.#revision))) {
      await this.#list();
    }
    const end = await this.feed.watch(this.prefix, (this.#revision as number) + 1, this, this.#stop.signal);
    if (end === 'compacted') {
      await this.#list();
    }
  }

  /** A watch from a revision that the cluster has yet to reach would stay silent and miss what comes before it. */
  async #isRewound(revision: number): Promise<boolean> {
    const current = await this.feed.revision(this.#deadline(READ_TIMEOUT_MS));
    this.#heard();
    return current < revision;
  }

  async #list(): Promise<void> {
    this.#lists += 1;
    const onEntry = (entry: FeedEntry) => this.#put(entry);
    const revision = await this.feed.list(
      this.prefix,
      onEntry,
      this.#deadline(this.options.listTimeoutMs ?? 30_000),
    );
    for (const [key, list] of this.#seen) {
      if (list !== this.#lists) {
        this.#remove(key);
      }
    }
    this.#revision = revision;
    this.#heard();
    this.#whole();
  }

  onEvents(events: readonly FeedEvent[]): void {
    for (const event of events) {
      if (event.type === 'put') {
        this.#put(event);
      } else {
        this.#remove(event.key);
      }
      this.#revision = Math.max(this.#revision as number, event.modRevision);
    }
    this.#heard();
  }

  onProgress(revision: number): void {
    this.#revision = Math.max(this.#revision as number, revision);
    this.#heard();
  }

  #put(entry: FeedEntry): void {
    this.#seen.set(entry.key, this.#lists);
    this.sink.put(entry);
  }

  #remove(key: string): void {
    this.#seen.delete(key);
    this.sink.remove(key);
  }

  #heard(): void {
    this.#heardAt = this.#now();
  }

  #now(): number {
    return (this.options.now ?? performance.now.bind(performance))();
  }

  #deadline(milliseconds: number): AbortSignal {
    return AbortSignal.any([this.#stop.signal, AbortSignal.timeout(milliseconds)]);
  }
}

function ignoreAbort(error: Error): void {
  if (error.name !== 'AbortError') {
    throw error;
  }
}
