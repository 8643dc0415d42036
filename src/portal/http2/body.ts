/** A body as it comes, in one piece: many small pieces would take many times their size. */
export class Body {
  #buffer = Buffer.alloc(0);
  #length = 0;

  /** Valid until the next `append`. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  /** How much more memory it takes with so many bytes more. */
  growth(bytes: number): number {
    return this.#capacityFor(this.#length + bytes) - this.#buffer.length;
  }

  append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    const capacity = this.#capacityFor(length);
    if (capacity > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(capacity);
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.#length);
    this.#length = length;
  }

  #capacityFor(length: number): number {
    return length <= this.#buffer.length ? this.#buffer.length : Math.max(length, 2 * this.#buffer.length);
  }
}
