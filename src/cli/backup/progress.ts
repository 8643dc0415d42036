const WIDTH = 30;
const REDRAW_MS = 100;

/** A bar on a terminal; nothing where the output goes elsewhere. */
export class Progress {
  #drawnAt = Number.NEGATIVE_INFINITY;
  #isDrawn = false;

  constructor(
    readonly stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>,
    /** What is counted, e.g. `keys`. */
    readonly unit: string,
  ) {}

  tell(done: number, of: number): void {
    if (!this.stream.isTTY || (performance.now() - this.#drawnAt < REDRAW_MS && done < of)) {
      return;
    }
    this.#drawnAt = performance.now();
    this.#isDrawn = true;
    const part = of === 0 ? 1 : Math.min(1, done / of);
    const bar = '#'.repeat(Math.round(part * WIDTH)).padEnd(WIDTH, '.');
    this.stream.write(`\r[${bar}] ${Math.floor(part * 100)} %, ${done} of ${of} ${this.unit}`);
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#isDrawn) {
      this.#isDrawn = false;
      this.stream.write(`\r${' '.repeat(WIDTH + 60)}\r`);
    }
  }
}
