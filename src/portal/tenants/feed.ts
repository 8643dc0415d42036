/**
 * How the directory reads records: a list of a prefix at one revision, then a watch from the next revision on. The
 * portal fulfils this with its etcd client; tests with a map.
 *
 * Revisions are numbers here: etcd's int64 stays exact up to 2^53, which is 28,000 years at 10,000 writes a second.
 */

/** A key as etcd has it. */
export interface FeedEntry {
  key: string;
  value: Buffer;
  createRevision: number;
  modRevision: number;
}

export type FeedEvent = ({ type: 'put' } & FeedEntry) | { type: 'delete'; key: string; modRevision: number };

/** Why a watch ended: `compacted` when its start revision is gone, `cut` for everything else. */
export type FeedEnd = 'compacted' | 'cut';

export interface WatchListener {
  /** All events of one revision, or of several, in order; a revision is never split over two calls. */
  onEvents(events: readonly FeedEvent[]): void;
  /** A progress notification: everything up to this revision has been told. */
  onProgress(revision: number): void;
}

export interface KeyFeed {
  /**
   * Tells each key of a prefix, all as they were at one revision, as a linearizable read.
   * @returns that revision
   * @throws whatever went wrong, among others when the revision was compacted between two pages, and when the signal
   * is aborted
   */
  list(prefix: string, onEntry: (entry: FeedEntry) => void, signal: AbortSignal): Promise<number>;
  /** The cluster's revision now, as a linearizable read. @throws when etcd can't be reached */
  revision(signal: AbortSignal): Promise<number>;
  /**
   * Watches a prefix from a revision on. It has to ask for progress notifications and to end with `cut` when it hears
   * nothing for some seconds: a silent watch would go on serving bindings that are gone. It never throws.
   */
  watch(prefix: string, from: number, listener: WatchListener, signal: AbortSignal): Promise<FeedEnd>;
}
