/** A large answer that is to be put together, or is being. */
export interface LargeAnswer {
  /** Whose it is: turns go round among owners. */
  readonly owner: object;
  /** It may be put together now. Called once, after {@link AnswerBudget.take} said to wait. */
  onRoom(): void;
}

/**
 * What the large answers of all connections may take together while they are put together. An answer that finds no
 * room waits, and its stream's window makes etcd wait; the next one in is of an owner who has none, the longest waiting
 * first.
 */
export class AnswerBudget {
  readonly #granted = new Map<LargeAnswer, number>();
  /** Longest waiting first. */
  readonly #waiting = new Map<LargeAnswer, number>();
  #total = 0;

  /** @param limit in bytes; a larger answer is put together by itself */
  constructor(readonly limit: number) {}

  get total(): number {
    return this.#total;
  }

  /** Whether it may be put together now. Otherwise it waits for `onRoom`. */
  take(answer: LargeAnswer, bytes: number): boolean {
    if (this.#waiting.size === 0 && this.#fits(bytes)) {
      this.#grant(answer, bytes);
      return true;
    }
    this.#waiting.set(answer, bytes);
    return false;
  }

  /** It is delivered, or is not wanted any more. Without effect for one that is neither granted nor waits. */
  give(answer: LargeAnswer): void {
    const isFirst = this.#waiting.size > 0;
    this.#waiting.delete(answer);
    this.#total -= this.#granted.get(answer) ?? 0;
    this.#granted.delete(answer);
    if (isFirst) {
      this.#serve();
    }
  }

  #serve(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const [answer, bytes] = next;
      if (!this.#fits(bytes)) {
        return;
      }
      this.#waiting.delete(answer);
      this.#grant(answer, bytes);
      answer.onRoom();
    }
  }

  #next(): [LargeAnswer, number] | undefined {
    const served = new Set<object>();
    for (const { owner } of this.#granted.keys()) {
      served.add(owner);
    }
    let first: [LargeAnswer, number] | undefined;
    for (const entry of this.#waiting) {
      if (!served.has(entry[0].owner)) {
        return entry;
      }
      first ??= entry;
    }
    return first;
  }

  #fits(bytes: number): boolean {
    return this.#total === 0 || this.#total + bytes <= this.limit;
  }

  #grant(answer: LargeAnswer, bytes: number): void {
    this.#granted.set(answer, bytes);
    this.#total += bytes;
  }
}
