const WINDOW_MS = 60_000;
const MOST_ADDRESSES = 10_000;

/**
 * Counts wrong credentials by address within a minute.
 *
 * The libraries for rate limits count every request and take back the good ones when they end, so that many good
 * requests at once look like an attack; here only failures count.
 */
export class FailureLimit {
  readonly #failures = new Map<string, { count: number; since: number }>();

  /** @param most so many failures an address may have within a minute */
  constructor(readonly most = 60) {}

  /** How long the address has to wait, in seconds; 0 when it may go on. */
  secondsToWait(address: string): number {
    const seen = this.#failures.get(address);
    if (seen === undefined || seen.count < this.most) {
      return 0;
    }
    return Math.max(0, Math.ceil((seen.since + WINDOW_MS - performance.now()) / 1_000));
  }

  count(address: string): void {
    const now = performance.now();
    const seen = this.#failures.get(address);
    if (seen !== undefined && now - seen.since < WINDOW_MS) {
      seen.count += 1;
      return;
    }
    this.#failures.delete(address);
    this.#failures.set(address, { count: 1, since: now });
    if (this.#failures.size > MOST_ADDRESSES) {
      this.#failures.delete(this.#failures.keys().next().value as string);
    }
  }
}
