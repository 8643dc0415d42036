import { Unavailable } from '../errors.js';

/** So many may wait in this replica, for all keys together. */
const MOST_WAITING = 1_000;

/** One after the other for each key, in the order in which they came. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();
  #waiting = 0;

  /**
   * Runs a task when all earlier ones of the same key have ended. What comes to its turn too late does not run.
   * @param until on the monotonic clock, in milliseconds
   * @throws Unavailable when too many wait, or the time is up
   */
  async take<T>(key: string, until: number, task: () => Promise<T>): Promise<T> {
    if (this.#waiting >= MOST_WAITING) {
      throw new Unavailable('Too many changes are waiting already. Try again in a few seconds.');
    }
    const turn = this.#after(this.#last.get(key), until, task);
    const ended = turn.then(
      () => undefined,
      () => undefined, // the caller gets the error; the next one only waits for the end
    );
    this.#last.set(key, ended);
    this.#waiting += 1;
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
      if (this.#last.get(key) === ended) {
        this.#last.delete(key);
      }
    }
  }

  async #after<T>(previous: Promise<void> | undefined, until: number, task: () => Promise<T>): Promise<T> {
    await previous;
    if (performance.now() > until) {
      throw new Unavailable(
        'Too many changes of this service instance came at once. Try again in a few seconds.',
      );
    }
    return task();
  }
}
