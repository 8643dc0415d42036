import { setTimeout as sleep } from 'node:timers/promises';
import { within } from './deadline.js';
import { readLogLine, readStartFailure } from './etcd-log.js';
import { type GuardedProcess, startGuarded } from './guardian.js';

const KEPT_LINES = 5;
const MAX_LINE_LENGTH = 2_000;
const STOP_TIMEOUT_MS = 10_000;
const KILL_TIMEOUT_MS = 5_000;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;
const STEADY_AFTER_MS = 60_000;

export type EmbeddedLog = (
  level: 'info' | 'warn' | 'error',
  message: string,
  details?: Record<string, unknown>,
) => void;

export interface MemberOptions {
  name: string;
  program: string;
  args: readonly string[];
  log: EmbeddedLog;
}

/** One etcd process, started again when it dies unexpectedly, until it is stopped. */
export class Member {
  /** Why it did not start, in etcd's own words. */
  readonly complaints: string[] = [];
  readonly #options: MemberOptions;
  readonly #stopping = new AbortController();
  #process: GuardedProcess | undefined;
  #supervision: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: MemberOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  /** The process id of etcd, or undefined while it is down. */
  get pid(): number | undefined {
    return this.#process?.running ? this.#process.pid : undefined;
  }

  /**
   * Starts etcd. It is not restarted yet when it dies: until {@link supervise} is called, that is a failed start.
   *
   * @returns a promise of how etcd ended
   */
  async start(): Promise<{ exited: Promise<string> }> {
    const { program, args } = this.#options;
    this.#process = await startGuarded(program, args, (line) => this.#onLine(line));
    return { exited: this.#process.exited };
  }

  /** From now on restarts etcd whenever it dies, after a pause that grows from 0.1 to 10 s. */
  supervise(): void {
    this.complaints.length = 0;
    this.#supervision ??= this.#supervise();
  }

  /** Announces a stop: from now on etcd is neither restarted nor are its complaints logged. */
  prepareStop(): void {
    this.#stopping.abort();
  }

  /** Ends etcd: softly, and by force if it still runs after 10 s. May be called several times and at any moment. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.prepareStop();
    await this.#supervision;
    const etcd = this.#process;
    if (etcd === undefined) {
      return;
    }
    etcd.kill('SIGTERM');
    if ((await within(etcd.exited, STOP_TIMEOUT_MS)) === undefined) {
      this.#options.log(
        'warn',
        `etcd member ${this.name} did not end within ${STOP_TIMEOUT_MS} ms: killing it`,
      );
      etcd.kill('SIGKILL');
      if ((await within(etcd.exited, KILL_TIMEOUT_MS)) === undefined) {
        throw new Error(`etcd member ${this.name} (process ${etcd.pid}) can't be killed`);
      }
    }
  }

  async #supervise(): Promise<void> {
    const { signal } = this.#stopping;
    const stopped = new Promise<undefined>((resolve) =>
      signal.addEventListener('abort', () => resolve(undefined), { once: true }),
    );
    let backoffMs = FIRST_BACKOFF_MS;
    while (!signal.aborted) {
      const startedAt = Date.now();
      const how = this.#process ? await Promise.race([this.#process.exited, stopped]) : 'is down';
      if (how === undefined || signal.aborted) {
        return;
      }
      if (Date.now() - startedAt > STEADY_AFTER_MS) {
        backoffMs = FIRST_BACKOFF_MS;
      }
      this.#options.log('error', `etcd member ${this.name} ${how}: starting it again in ${backoffMs} ms`);
      await sleep(backoffMs, undefined, { signal }).catch(() => undefined); // a stop ends the pause
      backoffMs = Math.min(backoffMs * 2, LONGEST_BACKOFF_MS);
      if (signal.aborted) {
        return;
      }
      this.#process = undefined;
      try {
        await this.start();
      } catch (error) {
        this.#options.log('error', `etcd member ${this.name} can't be started: ${(error as Error).message}`);
      }
    }
  }

  #onLine(line: string): void {
    const text = line.slice(0, MAX_LINE_LENGTH);
    const complaint = this.#supervision === undefined ? readStartFailure(text) : undefined;
    if (complaint !== undefined) {
      this.complaints.push(complaint);
      this.complaints.splice(0, this.complaints.length - KEPT_LINES);
    }
    const read = readLogLine(text);
    // A member that is told to stop complains about every connection that it closes.
    if (read !== undefined && !this.#stopping.signal.aborted) {
      this.#options.log(read.level, `etcd member ${this.name}: ${read.message}`, read.details);
    }
  }
}
