/** Between the two GOAWAYs of a drain, for requests that are on their way. */
const GRACE_MS = 1_000;

/** A graceful end (RFC 9113, section 6.8): GOAWAY without a last stream, a while later one with it, then no new ones. */
export class Drain {
  #leftMs: number | undefined;
  #announced = true;

  /** From our side. The peer's own wish to leave needs no GOAWAY. */
  start(): void {
    this.#leftMs = GRACE_MS;
    this.#announced = false;
  }

  /** Nothing more can come: the connection may close when no stream is open. */
  get announced(): boolean {
    return this.#announced;
  }

  /** True once, when the second GOAWAY is to be sent. */
  tick(elapsedMs: number): boolean {
    if (this.#leftMs === undefined) {
      return false;
    }
    this.#leftMs -= elapsedMs;
    if (this.#leftMs > 0) {
      return false;
    }
    this.#leftMs = undefined;
    this.#announced = true;
    return true;
  }
}
