/** The longest pause between two runs that fail, in milliseconds. */
const LONGEST_PAUSE_MS = 300_000;
/** A failure that lasts is logged again after so many milliseconds. */
const REPEAT_MS = 60_000;

export interface PeriodicLog {
  warn(details: object, message: string): void;
  info(details: object, message: string): void;
}

export interface PeriodicOptions {
  /** What is done, as the subject of a log line, e.g. "Looking for expired bindings". */
  what: string;
  /** From the end of one run to the start of the next, in milliseconds. */
  intervalMs: number;
  /** The longest pause after failures, in milliseconds; `intervalMs` keeps the pace whatever happens. */
  longestPauseMs?: number;
  /** Does the work once. Long work looks at the signal, which is aborted by {@link Periodic.stop}. */
  run: (stopping: AbortSignal) => Promise<void>;
  log: PeriodicLog;
}

/**
 * Repeats work: one run at a time. While it fails, the pauses double up to `longestPauseMs`, so that many replicas do
 * not keep a struggling cluster from recovering. A failure is logged when it is new or its reason changes, and once a
 * minute.
 */
export class Periodic {
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopping = new AbortController();
  #failures = 0;
  #told: { reason: string; at: number } | undefined;

  constructor(readonly options: PeriodicOptions) {}

  /** @param afterMs the time to the first run, in milliseconds; an interval where not given */
  start(afterMs = this.options.intervalMs): void {
    this.#stopping = new AbortController();
    this.#schedule(afterMs);
  }

  /** Waits for the run that is under way, and starts no other. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(milliseconds: number): void {
    this.#timer = setTimeout(() => {
      this.#running = this.#runOnce().finally(() => {
        this.#running = undefined;
        if (!this.#stopping.signal.aborted) {
          this.#schedule(this.#pause());
        }
      });
    }, milliseconds);
    this.#timer.unref();
  }

  #pause(): number {
    const { intervalMs, longestPauseMs = LONGEST_PAUSE_MS } = this.options;
    return Math.max(intervalMs, Math.min(intervalMs * 2 ** Math.min(this.#failures, 20), longestPauseMs));
  }

  async #runOnce(): Promise<void> {
    const { run, what, log } = this.options;
    try {
      await run(this.#stopping.signal);
      if (this.#told !== undefined) {
        log.info({}, `${what} works again`);
      }
      this.#failures = 0;
      this.#told = undefined;
    } catch (error) {
      this.#failures += 1;
      const reason = (error as Error).message;
      const now = performance.now();
      if (reason !== this.#told?.reason || now - this.#told.at > REPEAT_MS) {
        this.#told = { reason, at: now };
        log.warn({ reason, failures: this.#failures }, `${what} failed; it is tried again`);
      }
    }
  }
}
