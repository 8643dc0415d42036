import { BUCKETS } from '../../usage/row.js';
import { bucketOf } from './tallies.js';

export { BUCKETS };

/** The calls of one name at one portal, since it started. */
export interface CallTime {
  readonly call: string;
  /** How many ended with each of gRPC's codes. */
  readonly codes: readonly (readonly [code: number, count: number])[];
  /** How many took no longer than each of {@link BUCKETS}, not added up; the last is for all that took longer. */
  readonly buckets: readonly number[];
  readonly seconds: number;
}

class Times {
  readonly codes = new Map<number, number>();
  readonly buckets = new Array<number>(BUCKETS.length + 1).fill(0);
  seconds = 0;
}

/** Counts calls and how long they took, at a cost that a call does not notice. */
export class CallTimes {
  readonly #times = new Map<string, Times>();

  /** @param names the calls that there are, so that each is there from the start */
  constructor(names: Iterable<string> = []) {
    for (const name of names) {
      this.#times.set(name, new Times());
    }
  }

  observe(call: string, code: number, seconds: number): void {
    let times = this.#times.get(call);
    if (times === undefined) {
      times = new Times();
      this.#times.set(call, times);
    }
    times.codes.set(code, (times.codes.get(code) ?? 0) + 1);
    const bucket = bucketOf(seconds);
    times.buckets[bucket] = (times.buckets[bucket] as number) + 1;
    times.seconds += seconds;
  }

  snapshot(): CallTime[] {
    return [...this.#times].map(([call, { codes, buckets, seconds }]) => ({
      call,
      codes: [...codes],
      buckets: [...buckets],
      seconds,
    }));
  }
}
