/** Reads and writes have different times without a queue, so each has its own. */
export type RequestKind = 'read' | 'write';

export interface AdaptiveLimitOptions {
  /** The limit while one tenant has etcd for itself: all that it can use. */
  readonly alone: number;
  /** The limit is never below this. */
  readonly least: number;
  /** Requests that may queue in etcd: below the first the limit grows, above the second it shrinks. */
  readonly queue: readonly [number, number];
  /** Every so many ticks the limit is halved for one tick, to see the time without a queue. */
  readonly probeEvery: number;
}

export const ADAPTIVE_LIMIT: AdaptiveLimitOptions = { alone: 256, least: 4, queue: [1, 2], probeEvery: 100 };

interface Times {
  /** The shortest in this period of probing and in the one before, in milliseconds. */
  least: number;
  leastBefore: number;
}

/**
 * How many requests to have at etcd at one time while several tenants share it, after TCP Vegas (Brakmo and Peterson,
 * 1995): from the time a request takes and the time it takes without a queue follows how many wait inside etcd, where
 * no scheduler of ours reaches them. The caller ticks every 100 ms and gives the result to the scheduler.
 */
export class AdaptiveLimit {
  readonly #times: { [kind in RequestKind]: Times } = { read: unknown(), write: unknown() };
  #ratios = 0;
  #samples = 0;
  #ticks = 0;
  #limit: number;
  #isProbing = false;

  constructor(readonly options: AdaptiveLimitOptions = ADAPTIVE_LIMIT) {
    this.#limit = Math.max(options.least, 16);
  }

  /** A small request was answered. @param ms from sending it to etcd to its answer */
  observe(kind: RequestKind, ms: number): void {
    const times = this.#times[kind];
    if (ms < times.least) {
      times.least = ms;
    }
    this.#ratios += Math.min(times.least, times.leastBefore) / ms;
    this.#samples += 1;
  }

  /** @param isShared whether several tenants sent requests since the last tick */
  tick(isShared: boolean): number {
    const { alone, least, queue, probeEvery } = this.options;
    if (this.#samples > 0 && !this.#isProbing && isShared) {
      const waiting = this.#limit * (1 - this.#ratios / this.#samples);
      if (waiting < queue[0]) {
        // Quickly while there is no queue at all, then one by one.
        this.#limit += waiting < queue[0] / 4 ? Math.max(1, this.#limit >> 3) : 1;
      } else if (waiting > queue[1]) {
        // Straight to where the queue would be right, for an estimate far off.
        this.#limit -= Math.max(1, Math.floor((waiting - queue[1]) / 2));
      }
      this.#limit = Math.max(least, Math.min(alone, this.#limit));
    }
    this.#ratios = 0;
    this.#samples = 0;
    this.#ticks += 1;
    this.#isProbing = isShared && this.#ticks % probeEvery === 0;
    if (this.#isProbing) {
      for (const times of Object.values(this.#times)) {
        times.leastBefore = times.least;
        times.least = Number.POSITIVE_INFINITY;
      }
    }
    if (!isShared) {
      return alone;
    }
    return this.#isProbing ? Math.max(least, this.#limit >> 1) : this.#limit;
  }
}

function unknown(): Times {
  return { least: Number.POSITIVE_INFINITY, leastBefore: Number.POSITIVE_INFINITY };
}
