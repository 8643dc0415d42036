import { LRUCache } from 'lru-cache';

const WINDOW_MS = 60_000;
/** Wrong credentials within the window: with one user name, and with all of them together. */
const MOST_WITH_NAME = 60;
const MOST_OF_ADDRESS = 600;
/** Bounds of what is remembered. */
const MOST_COUNTED = 10_000;
const MOST_KNOWN = 1_000;
const LONGEST_NAME = 64;

/** Counts wrong credentials by address and user name, and remembers from which addresses right ones came. */
export class GuessLimit {
  // With a resolution it would start a timer for each reading of the clock.
  readonly #wrong = new LRUCache<string, number>({ max: MOST_COUNTED, ttl: WINDOW_MS, ttlResolution: 0 });
  readonly #known = new LRUCache<string, true>({ max: MOST_KNOWN });

  /** Whether somebody has signed in from there before. */
  isKnown(address: string): boolean {
    return this.#known.get(address) ?? false;
  }

  remember(address: string): void {
    this.#known.set(address, true);
  }

  /** How long the address has to wait before it may try the user name again, in seconds; 0 when it may now. */
  secondsToWait(address: string, name: string): number {
    return Math.max(
      this.#secondsToWait(keyOf(address, name), MOST_WITH_NAME),
      this.#secondsToWait(address, MOST_OF_ADDRESS),
    );
  }

  /** @returns true for the guess that reaches the limit */
  count(address: string, name: string): boolean {
    const withName = this.#count(keyOf(address, name));
    return this.#count(address) === MOST_OF_ADDRESS || withName === MOST_WITH_NAME;
  }

  #secondsToWait(key: string, most: number): number {
    return (this.#wrong.get(key) ?? 0) < most ? 0 : Math.ceil(this.#wrong.getRemainingTTL(key) / 1_000);
  }

  #count(key: string): number {
    const count = (this.#wrong.get(key) ?? 0) + 1;
    this.#wrong.set(key, count, { noUpdateTTL: true });
    return count;
  }
}

/** No address holds a space. */
function keyOf(address: string, name: string): string {
  return `${address} ${name.slice(0, LONGEST_NAME)}`;
}
