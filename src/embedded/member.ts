import { setTimeout as sleep } from 'node:timers/promises';
import { within } from './deadline.js';
import { type GuardedProcess, startGuarded } from './guardian.js';

const KEPT_LINES = 40;
const MAX_LINE_LENGTH = 2_000;
const STOP_TIMEOUT_MS = 10_000;
const KILL_TIMEOUT_MS = 5_000;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;
const STEADY_AFTER_MS = 60_000;

// What etcd warns of at every start although nothing is amiss.
const EXPECTED = [
  'established TCP streaming connection with remote peer',
  'simple token is not cryptographically signed',
  'Running http and grpc server on single port. This is not recommended for production.',
];

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
  readonly #options: MemberOptions;
  readonly #stderr: string[] = [];
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

  /** What etcd wrote last to its standard error, oldest first, without the wrapping of its log format. */
  get lastLines(): readonly string[] {
    return this.#stderr.map((line) => {
      const { message, details } = readLogLine(line);
      return details?.error === undefined ? message : `${message}: ${details.error}`;
    });
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

  /** Ends etcd as {@link stop} does and lets supervision start it again. */
  async restart(): Promise<void> {
    this.#process?.kill('SIGTERM');
    if (this.#process && (await within(this.#process.exited, STOP_TIMEOUT_MS)) === undefined) {
      this.#process.kill('SIGKILL');
    }
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
      this.#options.log('error', `etcd member ${this.name} ${how}: starting it again in ${backoffMs} ms`, {
        stderr: this.lastLines.slice(-5),
      });
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
    if (text.trim() === '') {
      return;
    }
    this.#stderr.push(text);
    if (this.#stderr.length > KEPT_LINES) {
      this.#stderr.shift();
    }
    const { message, level, details } = readLogLine(text);
    // A member that is told to stop complains about every connection that it closes.
    if (!this.#stopping.signal.aborted && !EXPECTED.includes(message)) {
      this.#options.log(level, `etcd member ${this.name}: ${message}`, details);
    }
  }
}

interface LogLine {
  level: 'warn' | 'error';
  message: string;
  details?: Record<string, unknown>;
}

/** etcd logs one JSON object a line; what its runtime prints when it crashes is plain text. */
function readLogLine(line: string): LogLine {
  try {
    const { msg, level, ts: _ts, caller: _caller, ...details } = JSON.parse(line) as Record<string, unknown>;
    if (typeof msg === 'string') {
      return { level: level === 'warn' ? 'warn' : 'error', message: msg, details };
    }
  } catch {
    // not JSON: shown as it is
  }
  return { level: 'warn', message: line };
}
