/**
 * Bytes by the revision at which they were written, in a bounded number of windows: what a scan or a compaction at a
 * revision covers can be taken off, the rest stays counted. A window that is covered only in part stays as a whole, so
 * the sum is never too small.
 */
export class RevisionWindows {
  readonly #windows: { through: number; bytes: number }[] = [];
  #total = 0;

  /**
   * @param most windows; when there are more, the two neighbours that are smallest together become one
   * @param grain a window that holds fewer bytes than this takes in what comes next
   */
  constructor(
    readonly grain: number,
    readonly most = 16,
  ) {}

  get total(): number {
    return this.#total;
  }

  /** @param revision of the write; answers may come out of order */
  add(revision: number, bytes: number): void {
    this.#total += bytes;
    const last = this.#windows.at(-1);
    if (last !== undefined && (last.bytes < this.grain || revision <= last.through)) {
      last.bytes += bytes;
      last.through = Math.max(last.through, revision);
      return;
    }
    this.#windows.push({ through: revision, bytes });
    if (this.#windows.length > this.most) {
      this.#merge();
    }
  }

  /** Takes off what was written up to and with this revision. */
  dropThrough(revision: number): void {
    while (this.#windows.length > 0 && (this.#windows[0] as { through: number }).through <= revision) {
      this.#total -= (this.#windows.shift() as { bytes: number }).bytes;
    }
  }

  #merge(): void {
    let best = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let index = 0; index + 1 < this.#windows.length; index += 1) {
      const sum = this.#bytes(index) + this.#bytes(index + 1);
      if (sum < least) {
        least = sum;
        best = index;
      }
    }
    (this.#windows[best + 1] as { bytes: number }).bytes += this.#bytes(best);
    this.#windows.splice(best, 1);
  }

  #bytes(index: number): number {
    return (this.#windows[index] as { bytes: number }).bytes;
  }
}
