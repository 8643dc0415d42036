import type { FeedEntry } from '../tenants/feed.js';
import type { ScanCandidate } from './scans.js';
import { readUsage, USAGE, usageKeys, writeShare } from './share-records.js';
import { type Fill, type Scan, type Share, StoredBytes } from './stored-bytes.js';

interface Entry extends ScanCandidate {
  readonly bytes: StoredBytes;
  scannedAt: number | undefined;
  /** What the last scan of this portal has counted. */
  keys: number;
}

/** A record to write under this portal's lease; `done` takes the revision at which it was written. */
export interface DueShare {
  readonly key: string;
  readonly value: Buffer;
  done(revision: number): void;
}

/** The budgets of all instances at one portal, fed with the usage records of the portals' region. */
export class InstanceBudgets {
  readonly prefix = USAGE;
  readonly #entries = new Map<string, Entry>();
  #compacted = 0;

  /** @param portal this portal's id, another one at each start; letters, digits, `_` and `-` */
  constructor(
    readonly portal: string,
    readonly defaultQuota: number,
    readonly now: () => number = () => performance.now(),
  ) {}

  /** @param quota in bytes, as the directory says now */
  of(deployment: string, quota: number): StoredBytes {
    const { bytes } = this.#entry(deployment);
    bytes.quota = quota;
    return bytes;
  }

  *[Symbol.iterator](): Generator<[deployment: string, StoredBytes]> {
    for (const [deployment, { bytes }] of this.#entries) {
      yield [deployment, bytes];
    }
  }

  /** How full each instance is, and how many keys it had when this portal scanned it last; 0 where it has not. */
  *levels(): Generator<[deployment: string, Fill, keys: number]> {
    for (const [deployment, { bytes, keys }] of this.#entries) {
      yield [deployment, bytes.fill, keys];
    }
  }

  /** When an instance is gone. */
  forget(deployment: string): void {
    this.#entries.delete(deployment);
  }

  put(entry: FeedEntry): void {
    const record = readUsage(entry);
    if (record?.kind === 'scan') {
      this.scanned(record.deployment, record.scan);
    } else if (record !== undefined && record.portal !== this.portal) {
      this.#entry(record.deployment).bytes.shared(record.portal, record.share);
    }
  }

  /** A record that ends with its portal's lease stays counted until a scan covers it. */
  remove(): void {}

  /** A scan whose record is written. @param keyCount where this portal has made it */
  scanned(deployment: string, scan: Scan, keyCount?: number): void {
    const entry = this.#entry(deployment);
    entry.keys = keyCount ?? entry.keys;
    entry.bytes.scanned(scan);
    entry.scannedAt = this.now();
  }

  compacted(revision: number): void {
    this.#compacted = Math.max(this.#compacted, revision);
    for (const { bytes } of this.#entries.values()) {
      bytes.compacted(revision);
    }
  }

  /** Which instances could be scanned, for `nextScan`: those that were written to or heard of. */
  candidates(): IterableIterator<ScanCandidate> {
    return this.#entries.values();
  }

  /** What is to be told to the other portals now; asked for every few seconds. @param most so many at once */
  dueShares(most = 500): DueShare[] {
    const due: DueShare[] = [];
    for (const [deployment, { bytes }] of this.#entries) {
      const share = bytes.dueShare();
      if (share !== undefined) {
        const done = (revision: number) => bytes.published({ ...share, revision } satisfies Share);
        due.push({ key: usageKeys.share(this.portal, deployment), value: writeShare(share), done });
        if (due.length === most) {
          break;
        }
      }
    }
    return due;
  }

  #entry(deployment: string): Entry {
    let entry = this.#entries.get(deployment);
    if (entry === undefined) {
      const bytes = new StoredBytes(this.defaultQuota);
      bytes.compacted(this.#compacted);
      entry = {
        deployment,
        bytes,
        scannedAt: undefined,
        keys: 0,
        get fill() {
          return bytes.fill;
        },
        get wantsScan() {
          return bytes.wantsScan;
        },
      };
      this.#entries.set(deployment, entry);
    }
    return entry;
  }
}
