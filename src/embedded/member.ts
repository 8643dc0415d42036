import { setTimeout as sleep } from 'node:timers/promises';
import { withTimeout } from '../timing.js';
import { readLogLine, readStartFailure } from './etcd-log.js';
import { type GuardedProcess, startGuarded } from './guardian.js';

const KEPT_LINES = 5;
const MAX_LINE_LENGTH = 2_000;
const STOP_TIMEOUT_MS = 10_000;
const KILL_TIMEOUT_MS = 5_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
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
    await this.#end();
    await this.#supervision; // which may just have started another process
    await this.#end();
  }

  async #end(): Promise<void> {
    const etcd = this.#process;
    etcd?.kill('SIGTERM');
    if (etcd && (await withTimeout(etcd.exited, STOP_TIMEOUT_MS)) === undefined) {
      this.#options.log(
        'warn',
        `etcd member ${this.name} did not end within ${STOP_TIMEOUT_MS} ms: killing it`,
      );
      etcd.kill('SIGKILL');
      if ((await withTimeout(etcd.exited, KILL_TIMEOUT_MS)) === undefined) {
        throw new Error(`etcd member ${this.name} (process ${etcd.pid}) can't be killed`);
      }
    }
  }

  async #supervise(): Promise<void> {
    const { signal } = this.#stopping;
    let pauseMs = FIRST_PAUSE_MS;
    for (;;) {
      const startedAt = Date.now();
      const how = (await this.#process?.exited) ?? 'is down';
      if (signal.aborted) {
        return;
      }
      pauseMs = Date.now() - startedAt > STEADY_AFTER_MS ? FIRST_PAUSE_MS : pauseMs;
      this.#options.log('error', `etcd member ${this.name} ${how}: starting it again in ${pauseMs} ms`);
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined); // a stop ends the pause
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      if (signal.aborted) {
        return;
      }
      this.#process = undefined;
      try {
        await this.start();
      } catch (error) {
        this.#options.log('error', `etcd member ${this.name} can't be started: ${(error as Error).message}`);
      }
      if (signal.aborted) {
        return;
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
