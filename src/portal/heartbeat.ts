/** How often a portal's thread says that its loop runs, and its owner listens, in milliseconds. */
export const BEAT_MS = 1_000;
/** After so many looks without a beat a thread counts as hung. */
const MOST_MISSED = 10;

/**
 * Whether a thread hangs. It counts looks and not time: when the whole process stood still, nobody has missed anything.
 */
export class Heartbeat {
  #last: number | undefined;
  #missed = 0;

  /** @param beats how many there were so far; to be called every {@link BEAT_MS} */
  isHung(beats: number): boolean {
    this.#missed = beats === this.#last ? this.#missed + 1 : 0;
    this.#last = beats;
    return this.#missed >= MOST_MISSED;
  }
}
