import type { ServerStream } from './stream.js';

/** The time that is left to requests that were begun. Whole ones are not here. */
export class RequestTimes {
  readonly #timeoutMs: number;
  readonly #leftMs = new Map<ServerStream, number>();

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  begin(stream: ServerStream): void {
    this.#leftMs.set(stream, this.#timeoutMs);
  }

  end(stream: ServerStream): void {
    if (this.#leftMs.size > 0) {
      this.#leftMs.delete(stream);
    }
  }

  /** Whether a request is late. */
  tick(elapsedMs: number): boolean {
    let late = false;
    for (const [stream, leftMs] of this.#leftMs) {
      late ||= leftMs <= 0;
      this.#leftMs.set(stream, leftMs - elapsedMs);
    }
    return late;
  }
}
