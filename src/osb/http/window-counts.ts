import { LRUCache } from 'lru-cache';

export const WINDOW_MS = 60_000;

/** Counts something by name within a minute that begins with the first of it. Bounded: the oldest names go first. */
export class WindowCounts {
  // With a resolution it would start a timer for each reading of the clock.
  readonly #counts: LRUCache<string, number>;

  constructor(max: number) {
    this.#counts = new LRUCache<string, number>({ max, ttl: WINDOW_MS, ttlResolution: 0 });
  }

  /** @returns how often it was counted within the minute, this time included */
  count(name: string): number {
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count, { noUpdateTTL: true });
    return count;
  }

  /** How long until the minute is over in which it was counted so often, in seconds; 0 when it was not. */
  secondsToWait(name: string, most: number): number {
    return (this.#counts.get(name) ?? 0) < most ? 0 : Math.ceil(this.#counts.getRemainingTTL(name) / 1_000);
  }
}
