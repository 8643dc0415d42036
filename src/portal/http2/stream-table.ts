import type { ServerStream } from './stream.js';

/** What an open stream costs with all its objects, and how many are taken of the budget at once. */
const STREAM_BYTES = 1_024;
const STREAMS_AT_ONCE = 64;

/** The streams of a connection. The first few are part of what a connection costs in any case. */
export class StreamTable {
  readonly byId = new Map<number, ServerStream>();
  readonly #hold: (bytes: number) => boolean;
  /** For how many streams the budget has been charged. */
  #charged = 0;

  /** @param hold takes bytes of the budget, or gives them back */
  constructor(hold: (bytes: number) => boolean) {
    this.#hold = hold;
  }

  /** False where the connection had to end for it. */
  add(stream: ServerStream): boolean {
    this.byId.set(stream.id, stream);
    if (this.byId.size <= this.#charged + STREAMS_AT_ONCE) {
      return true;
    }
    this.#charged += STREAMS_AT_ONCE;
    return this.#hold(STREAMS_AT_ONCE * STREAM_BYTES);
  }

  remove(stream: ServerStream): void {
    this.byId.delete(stream.id);
    if (this.byId.size < this.#charged - STREAMS_AT_ONCE) {
      this.#charged -= STREAMS_AT_ONCE;
      this.#hold(-STREAMS_AT_ONCE * STREAM_BYTES);
    }
  }
}
