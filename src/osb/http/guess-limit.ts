import { LRUCache } from 'lru-cache';
import { WindowCounts } from './window-counts.js';

/** Wrong credentials within the window: with one user name, and with all of them together. */
const MOST_WITH_NAME = 60;
const MOST_OF_ADDRESS = 600;
/** Bounds of what is remembered. */
const MOST_COUNTED = 10_000;
const MOST_KNOWN = 1_000;
const LONGEST_NAME = 64;

/** Counts wrong credentials by address and user name, and remembers from which addresses right ones came. */
export class GuessLimit {
  readonly #wrong = new WindowCounts(MOST_COUNTED);
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
      this.#wrong.secondsToWait(keyOf(address, name), MOST_WITH_NAME),
      this.#wrong.secondsToWait(address, MOST_OF_ADDRESS),
    );
  }

  /** @returns true for the guess that reaches the limit */
  count(address: string, name: string): boolean {
    const withName = this.#wrong.count(keyOf(address, name));
    return this.#wrong.count(address) === MOST_OF_ADDRESS || withName === MOST_WITH_NAME;
  }
}

/** No address holds a space. */
function keyOf(address: string, name: string): string {
  return `${address} ${name.slice(0, LONGEST_NAME)}`;
}
