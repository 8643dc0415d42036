import { networkOf } from '../../addresses/addresses.js';
import { type LimitRefusal, tooManyRequests } from './refusals.js';

export interface GuessLimits {
  /** Wrong passwords before a limit holds, and how many are forgiven each minute. */
  readonly pair: Budget;
  readonly address: Budget;
  readonly user: Budget;
  /** The longest delay of an answer, in milliseconds. */
  readonly mostDelayMs: number;
  /** So many users, addresses and pairs are remembered, of each. */
  readonly mostKnown: number;
}

export interface Budget {
  readonly burst: number;
  readonly perMinute: number;
}

export const GUESS_LIMITS: GuessLimits = {
  pair: { burst: 10, perMinute: 10 },
  // Many applications of a platform share an address, and each that was unbound may go on trying.
  address: { burst: 300, perMinute: 300 },
  user: { burst: 20, perMinute: 20 },
  mostDelayMs: 2_000,
  mostKnown: 10_000,
};

export type Attempt<T> =
  | { readonly outcome: 'in'; readonly found: T }
  /** The answer is etcd's "authentication failed", `delayMs` from now. */
  | { readonly outcome: 'wrong'; readonly delayMs: number }
  /** The password was not looked at. */
  | { readonly outcome: 'refused'; readonly refusal: LimitRefusal };

/**
 * Slows down the guessing of passwords. Wrong ones count by user and address together, by address, and by user.
 *
 * A pair or an address that guesses too much is refused before its password is looked at, and told so with
 * RESOURCE_EXHAUSTED: "authentication failed" would send the owner of a right password looking for a fault that is not
 * there. What is guessed elsewhere against a user only delays wrong answers: it never keeps out whoever knows the
 * password. Nor does an address that others share keep out a pair that has signed in before. Tokens are not affected.
 */
export class Guesses {
  readonly #pairs: Failures;
  readonly #addresses: Failures;
  readonly #users: Failures;
  /** Pairs that have signed in, the latest last. */
  readonly #good = new Set<string>();

  constructor(
    readonly limits: GuessLimits = GUESS_LIMITS,
    readonly now: () => number = () => performance.now(),
  ) {
    this.#pairs = new Failures(limits.pair, limits.mostKnown);
    this.#addresses = new Failures(limits.address, limits.mostKnown);
    this.#users = new Failures(limits.user, limits.mostKnown);
  }

  /**
   * @param username as the client sent it
   * @param peer the client's address
   * @param check looks at the password; undefined when anything is wrong
   */
  attempt<T>(username: string, peer: string, check: () => T | undefined): Attempt<T> {
    const now = this.now();
    const address = networkOf(peer);
    // A name of any length may come; what is kept of it is bounded.
    const user = username.slice(0, 128);
    const pair = `${address} ${user}`;
    if (this.#pairs.isOver(pair, now)) {
      return { outcome: 'refused', refusal: tooManyRequests('guesses by user and address') };
    }
    if (this.#addresses.isOver(address, now) && !this.#good.has(pair)) {
      return { outcome: 'refused', refusal: tooManyRequests('guesses by address') };
    }
    const found = check();
    if (found !== undefined) {
      this.#pairs.forget(pair);
      this.#remember(pair);
      return { outcome: 'in', found };
    }
    this.#pairs.count(pair, now);
    this.#addresses.count(address, now);
    this.#users.count(user, now);
    return {
      outcome: 'wrong',
      delayMs: Math.min(this.limits.mostDelayMs, this.#users.msUntilGood(user, now)),
    };
  }

  #remember(pair: string): void {
    this.#good.delete(pair);
    this.#good.add(pair);
    if (this.#good.size > this.limits.mostKnown) {
      this.#good.delete(this.#good.values().next().value as string);
    }
  }
}

/** Failures by name, forgiven at a steady rate; the one that failed longest ago is forgotten first. */
class Failures {
  readonly #known = new Map<string, { level: number; at: number }>();
  readonly #perMs: number;

  constructor(
    readonly budget: Budget,
    readonly most: number,
  ) {
    this.#perMs = budget.perMinute / 60_000;
  }

  isOver(name: string, now: number): boolean {
    return this.#level(name, now) > this.budget.burst - 1;
  }

  /** Until one more would be within the burst, in milliseconds; 0 when it is now. */
  msUntilGood(name: string, now: number): number {
    return Math.max(0, (this.#level(name, now) - this.budget.burst) / this.#perMs);
  }

  count(name: string, now: number): void {
    const level = this.#level(name, now) + 1;
    this.#known.delete(name);
    this.#known.set(name, { level, at: now });
    if (this.#known.size > this.most) {
      this.#known.delete(this.#known.keys().next().value as string);
    }
  }

  forget(name: string): void {
    this.#known.delete(name);
  }

  #level(name: string, now: number): number {
    const known = this.#known.get(name);
    return known === undefined ? 0 : Math.max(0, known.level - (now - known.at) * this.#perMs);
  }
}
