/** Who holds bytes of a {@link MemoryBudget}: a connection. */
export interface MemoryHolder {
  /** Ends it, which releases all that it holds before this returns. */
  endForMemory(): void;
}

/**
 * What the connections of a portal may hold together: unfinished requests and what waits to be sent. When it is used
 * up, the connections that hold most end, the newest first among equals, until there is room.
 */
export class MemoryBudget {
  readonly limit: number;
  /** Oldest holder first. */
  readonly #held = new Map<MemoryHolder, number>();
  #total = 0;

  /** @param limit in bytes; the process grows by about twice as much, with what waits for the garbage collector */
  constructor(limit = 80 * 1024 * 1024) {
    this.limit = limit;
  }

  get total(): number {
    return this.#total;
  }

  /** False where the holder itself had to end. */
  take(holder: MemoryHolder, bytes: number): boolean {
    this.#add(holder, bytes);
    while (this.#total > this.limit) {
      const heaviest = this.#heaviest();
      heaviest.endForMemory();
      this.release(heaviest);
      if (heaviest === holder) {
        return false;
      }
    }
    return true;
  }

  give(holder: MemoryHolder, bytes: number): void {
    if (this.#held.has(holder)) {
      this.#add(holder, -bytes);
    }
  }

  /** All that the holder has. */
  release(holder: MemoryHolder): void {
    this.#total -= this.#held.get(holder) ?? 0;
    this.#held.delete(holder);
  }

  #add(holder: MemoryHolder, bytes: number): void {
    const held = (this.#held.get(holder) ?? 0) + bytes;
    this.#total += bytes;
    if (held <= 0) {
      this.#total -= held;
      this.#held.delete(holder);
    } else {
      this.#held.set(holder, held);
    }
  }

  #heaviest(): MemoryHolder {
    let most = -1;
    let found: MemoryHolder | undefined;
    for (const [holder, bytes] of this.#held) {
      if (bytes >= most) {
        most = bytes;
        found = holder;
      }
    }
    return found as MemoryHolder;
  }
}
