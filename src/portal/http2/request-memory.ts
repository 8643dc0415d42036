import type { ServerStream } from './stream.js';

/**
 * The memory of a connection for requests that are larger than a stream's window. What does not fit waits in order, so
 * that requests are finished one after the other instead of standing half sent side by side.
 */
export class RequestMemory {
  #free: number;
  readonly #limit: number;
  readonly #granted = new Map<ServerStream, number>();
  readonly #waiting = new Map<ServerStream, { bytes: number; granted: () => void }>();

  constructor(limit: number) {
    this.#free = limit;
    this.#limit = limit;
  }

  /** Calls back, perhaps at once. One request may be larger than the limit: it then is alone. */
  reserve(stream: ServerStream, bytes: number, granted: () => void): void {
    this.#waiting.set(stream, { bytes: Math.min(bytes, this.#limit), granted });
    this.#serve();
  }

  release(stream: ServerStream): void {
    if (this.#granted.size === 0 && this.#waiting.size === 0) {
      return;
    }
    this.#waiting.delete(stream);
    this.#free += this.#granted.get(stream) ?? 0;
    this.#granted.delete(stream);
    this.#serve();
  }

  #serve(): void {
    for (const [stream, { bytes, granted }] of this.#waiting) {
      if (bytes > this.#free) {
        return;
      }
      this.#waiting.delete(stream);
      this.#free -= bytes;
      this.#granted.set(stream, bytes);
      granted();
    }
  }
}
