import { BUCKETS, COUNTERS, type Counter } from '../../usage/row.js';

/** What went through one portal for one instance, since the portal started. */
export class Tally {
  /** Calls that ended, by kind; those of them that failed; bytes of messages, as the tenant sent and got them. */
  readonly counts: Record<Counter, number>;
  /** How long calls took, streams left out; not added up, as {@link BUCKETS} has them and one for all above. */
  readonly buckets = new Array<number>(BUCKETS.length + 1).fill(0);
  /** By how many bindings it is in use. */
  uses = 0;

  constructor(
    /** Whether it is told to Prometheus by itself. */
    readonly isOwn: boolean,
  ) {
    this.counts = Object.fromEntries(COUNTERS.map((name) => [name, 0])) as Record<Counter, number>;
  }

  get requests(): number {
    const { reads, writes, leases, watches, others } = this.counts;
    return reads + writes + leases + watches + others;
  }

  /**
   * A call is over.
   * @param code gRPC's
   * @param seconds from the whole request to the answer; undefined for a stream
   */
  ended(call: string, code: number, seconds: number | undefined): void {
    this.counts[KINDS.get(call) ?? 'others'] += 1;
    if (code !== OK && code !== CANCELLED) {
      this.counts.errors += 1;
    }
    if (seconds !== undefined) {
      const bucket = bucketOf(seconds);
      this.buckets[bucket] = (this.buckets[bucket] as number) + 1;
    }
  }
}

const OK = 0;
const CANCELLED = 1;

const KINDS: ReadonlyMap<string, Counter> = new Map([
  ['Range', 'reads'],
  ['RangeStream', 'reads'],
  ['Put', 'writes'],
  ['DeleteRange', 'writes'],
  ['Txn', 'writes'],
  ['Compact', 'writes'],
  ['Watch', 'watches'],
  ['LeaseGrant', 'leases'],
  ['LeaseRevoke', 'leases'],
  ['LeaseKeepAlive', 'leases'],
  ['LeaseTimeToLive', 'leases'],
  ['LeaseLeases', 'leases'],
]);

/** The first bucket that a time is not above. */
export function bucketOf(seconds: number): number {
  let bucket = 0;
  while (bucket < BUCKETS.length && seconds > (BUCKETS[bucket] as number)) {
    bucket += 1;
  }
  return bucket;
}

/** So many instances are told to Prometheus by themselves. */
const MOST = 100;

/** What all others together have, in the words of Prometheus' counters. */
export interface Totals {
  requests: number;
  received: number;
  sent: number;
}

/**
 * The tallies of a portal's instances. To Prometheus the first that it served are told by themselves, and all others
 * together. None moves from one to the other, since a counter that falls looks like a restart.
 */
export class Tallies {
  readonly #tallies = new Map<string, Tally>();
  /** Of those that are not in use any more. */
  readonly #past: Totals = { requests: 0, received: 0, sent: 0 };

  constructor(readonly most = MOST) {}

  /** The tally of one more binding of an instance. */
  use(deployment: string): Tally {
    let tally = this.#tallies.get(deployment);
    if (tally === undefined) {
      tally = new Tally(this.#tallies.size < this.most);
      this.#tallies.set(deployment, tally);
    }
    tally.uses += 1;
    return tally;
  }

  /** Forgets those that are not in use; their counts stay among the others'. */
  sweep(): void {
    for (const [deployment, tally] of this.#tallies) {
      if (tally.uses === 0 && !tally.isOwn) {
        addTo(this.#past, tally);
        this.#tallies.delete(deployment);
      }
    }
  }

  get others(): Totals {
    const totals = { ...this.#past };
    for (const tally of this.#tallies.values()) {
      if (!tally.isOwn) {
        addTo(totals, tally);
      }
    }
    return totals;
  }

  *own(): Generator<[deployment: string, Tally]> {
    for (const entry of this.#tallies) {
      if (entry[1].isOwn) {
        yield entry;
      }
    }
  }

  /** All of them. */
  [Symbol.iterator](): IterableIterator<[deployment: string, Tally]> {
    return this.#tallies.entries();
  }
}

function addTo(totals: Totals, { requests, counts }: Tally): void {
  totals.requests += requests;
  totals.received += counts.received;
  totals.sent += counts.sent;
}
