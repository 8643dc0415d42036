import { type LimitRefusal, noSpace, tooManyRequests } from './refusals.js';
import { RevisionWindows } from './revision-windows.js';

/** What a scan found: all keys and values of one instance, as they were at one revision. */
export interface Scan {
  /** The revision at which it read; what was written later is not in it. */
  readonly revision: number;
  readonly bytes: number;
}

/**
 * What one portal tells the others of an instance: bytes that went through it since its last scan and since its last
 * compaction. It is counted until a scan (a compaction) is newer than the record itself, since all that it tells of was
 * written before; so a dead portal's share ages out, and a live one's is never counted twice for longer than it takes
 * to publish the next.
 */
export interface Share {
  readonly added: number;
  readonly written: number;
  /** The mod_revision of the record. */
  readonly revision: number;
}

/** How full an instance is, for metrics, Status and the choice of what to scan. */
export interface Fill {
  readonly estimate: number;
  readonly quota: number;
  /** Bytes put since the last scan, by all portals. */
  readonly added: number;
  readonly history: number;
}

const SCANNED_NEVER: Scan = { revision: 0, bytes: 0 };

/**
 * The budgets of one instance at one portal: stored bytes and history. Puts add to both when they are sent; scans and
 * compactions, told from outside with their revisions, take off what they cover.
 */
export class StoredBytes {
  readonly #added: RevisionWindows;
  readonly #written: RevisionWindows;
  /** Shares of the other portals, by portal. */
  readonly #shares = new Map<string, Share>();
  #scan = SCANNED_NEVER;
  #compacted = 0;
  /** Bytes of puts that were sent and not answered yet. */
  #inFlight = 0;
  /** What the other portals have of this one. */
  #published: Share = { added: 0, written: 0, revision: 0 };
  /** Deletes and refused puts: a scan would change something. */
  #wantsScan = false;

  /**
   * @param quota in bytes; changes with the plan
   * @param historyFactor so many times the quota may be written between two compactions of the cluster
   */
  constructor(
    public quota: number,
    readonly historyFactor = 4,
  ) {
    this.#added = new RevisionWindows(quota / 64);
    this.#written = new RevisionWindows(quota / 16);
  }

  /**
   * Before a put is sent. What it admits has to be settled exactly once.
   * @param bytes of keys and values, all nested puts together
   */
  admit(bytes: number): LimitRefusal | undefined {
    if (this.estimate + bytes > this.quota) {
      this.#wantsScan = true;
      return noSpace('stored bytes');
    }
    if (this.history + bytes > this.quota * this.historyFactor) {
      return tooManyRequests('history');
    }
    this.#inFlight += bytes;
    return undefined;
  }

  /**
   * After the answer to a put.
   * @param revision of the answer's header when it was applied; undefined when it surely was not. When nobody knows,
   * the latest revision that the portal has seen: it counts until a newer scan.
   */
  settle(bytes: number, revision: number | undefined): void {
    this.#inFlight -= bytes;
    if (revision === undefined) {
      return;
    }
    if (revision > this.#scan.revision) {
      this.#added.add(revision, bytes);
    }
    if (revision > this.#compacted) {
      this.#written.add(revision, bytes);
    }
  }

  /** After a delete: a scan would find less. Deletes are never refused. */
  deleted(): void {
    this.#wantsScan = true;
  }

  scanned(scan: Scan): void {
    if (scan.revision > this.#scan.revision) {
      this.#scan = scan;
      this.#added.dropThrough(scan.revision);
      this.#wantsScan = false;
      this.#dropShares();
    }
  }

  /** The cluster's history up to this revision is gone. */
  compacted(revision: number): void {
    if (revision > this.#compacted) {
      this.#compacted = revision;
      this.#written.dropThrough(revision);
      this.#dropShares();
    }
  }

  /** What another portal has published. That its record is gone later takes nothing off: only a scan does. */
  shared(portal: string, share: Share): void {
    this.#shares.set(portal, share);
    this.#dropShares();
  }

  /**
   * What this portal has to tell now: undefined while it differs by less than a 256th of the quota from what the others
   * count of it, so that the records' own traffic stays far below the tenants'.
   */
  dueShare(): Omit<Share, 'revision'> | undefined {
    const { added, written, revision } = this.#published;
    const own = { added: this.#added.total, written: this.#written.total };
    const news = Math.max(
      Math.abs(own.added - (revision > this.#scan.revision ? added : 0)),
      Math.abs(own.written - (revision > this.#compacted ? written : 0)),
    );
    return news < this.quota / 256 ? undefined : own;
  }

  /** After {@link dueShare} was written. */
  published(share: Share): void {
    this.#published = share;
  }

  /** Bytes of keys and values, never less than there are but for what other portals are about to publish. */
  get estimate(): number {
    return this.#scan.bytes + this.added;
  }

  get added(): number {
    return this.#added.total + this.#inFlight + this.#sumOfShares('added', this.#scan.revision);
  }

  /** Bytes written since the last compaction of the cluster. */
  get history(): number {
    return this.#written.total + this.#inFlight + this.#sumOfShares('written', this.#compacted);
  }

  get fill(): Fill {
    return { estimate: this.estimate, quota: this.quota, added: this.added, history: this.history };
  }

  get wantsScan(): boolean {
    return this.#wantsScan;
  }

  #sumOfShares(part: 'added' | 'written', covered: number): number {
    let sum = 0;
    for (const share of this.#shares.values()) {
      if (share.revision > covered) {
        sum += share[part];
      }
    }
    return sum;
  }

  #dropShares(): void {
    for (const [portal, { revision }] of this.#shares) {
      if (revision <= this.#scan.revision && revision <= this.#compacted) {
        this.#shares.delete(portal);
      }
    }
  }
}
