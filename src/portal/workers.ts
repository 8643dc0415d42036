import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Logger } from '../observability/log.js';
import { withTimeout } from '../timing.js';
import { BEAT_MS, Heartbeat } from './heartbeat.js';
import type { PortalSnapshot } from './metrics/snapshot.js';
import {
  BEATS,
  COUNTS_BYTES,
  type FromWorker,
  type PortalJob,
  type ToWorker,
  WAITING,
} from './worker-job.js';

const ENTRY = new URL('./worker.js', import.meta.url);
const MOST_WAITING_LINES = 10_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** A portal that has served so long, in milliseconds, is started again without delay. */
const STEADY_AFTER_MS = 60_000;
/** How long a thread may take to end after its drain, in milliseconds. */
const FAREWELL_MS = 1_000;
/** How long a portal may take to tell of itself, in milliseconds. */
const TELL_WITHIN_MS = 1_000;

/** One portal in a worker thread: started again whenever it dies, until it is stopped. */
export class PortalWorker {
  #worker: Worker;
  #job: PortalJob | undefined;
  #startedAt = performance.now();
  #pauseMs = FIRST_PAUSE_MS;
  readonly #stopping = new AbortController();
  #exited: Promise<void>;
  /** Takes what the portal tells, while somebody waits for it. */
  #onTold: ((told: PortalSnapshot) => void) | undefined;
  #telling: Promise<PortalSnapshot | undefined> | undefined;

  /** The thread starts at once, and loads what it needs while the cluster starts. */
  constructor(
    readonly name: string,
    readonly log: Logger,
    /** Given by tests: another thread, and how often it is listened to. */
    readonly thread: { readonly entry: URL; readonly beatMs: number } = { entry: ENTRY, beatMs: BEAT_MS },
  ) {
    [this.#worker, this.#exited] = this.#spawn();
  }

  /**
   * Gives the portal its job and waits until it listens.
   * @throws Error with one line when it can't
   */
  async start(job: Omit<PortalJob, 'mostWaiting'>): Promise<void> {
    this.#job = { ...job, mostWaiting: MOST_WAITING_LINES };
    const failure = await this.#run();
    if (failure !== undefined) {
      throw new Error(`The portal ${this.name} did not start: ${failure}`);
    }
    void this.#supervise();
  }

  /** What the portal tells of itself; undefined when it does not answer in time. */
  tell(): Promise<PortalSnapshot | undefined> {
    this.#telling ??= this.#ask().finally(() => {
      this.#telling = undefined;
    });
    return this.#telling;
  }

  #ask(): Promise<PortalSnapshot | undefined> {
    const told = new Promise<PortalSnapshot>((resolve) => {
      this.#onTold = resolve;
    });
    this.#worker.postMessage({ tell: true } satisfies ToWorker);
    return withTimeout(told, TELL_WITHIN_MS);
  }

  /** Ends the thread as a crash would; for tests. */
  async kill(): Promise<void> {
    await this.#worker.terminate();
  }

  /** Says GOAWAY, lets calls end for so many milliseconds at the most, and ends the thread. */
  async stop(drainMs: number): Promise<void> {
    this.#stopping.abort();
    if (this.#job !== undefined) {
      this.#worker.postMessage({ drainMs } satisfies ToWorker);
      const late = new AbortController();
      await Promise.race([
        this.#exited,
        sleep(drainMs + FAREWELL_MS, undefined, { signal: late.signal }).catch(() => undefined),
      ]);
      late.abort();
    }
    await this.#worker.terminate();
  }

  #spawn(): [Worker, Promise<void>] {
    const worker = new Worker(this.thread.entry, { name: this.name, env: {} });
    const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    worker.on('error', (error: Error) => {
      this.log.error({ portal: this.name, reason: error.message, stack: error.stack }, 'A portal has died');
    });
    return [worker, exited];
  }

  /** @returns why the portal does not listen; undefined when it does */
  #run(): Promise<string | undefined> {
    const counts = new SharedArrayBuffer(COUNTS_BYTES);
    const counted = new Int32Array(counts);
    return new Promise((resolve) => {
      this.#worker.on('message', (message: FromWorker) => {
        if ('line' in message) {
          Atomics.sub(counted, WAITING, 1);
          this.#write(message.line);
        } else if ('told' in message) {
          this.#onTold?.(message.told);
        } else {
          if ('listensOn' in message) {
            this.#listen(counted);
          }
          resolve('failure' in message ? message.failure : undefined);
        }
      });
      void this.#exited.then(() => resolve('its thread has ended'));
      this.#startedAt = performance.now();
      this.#worker.postMessage({ job: this.#job as PortalJob, counts } satisfies ToWorker);
    });
  }

  /** Ends the thread when its beats stay away; then it is started again as after a crash. */
  #listen(counted: Int32Array): void {
    const worker = this.#worker;
    const heartbeat = new Heartbeat();
    const timer = setInterval(() => {
      if (heartbeat.isHung(Atomics.load(counted, BEATS))) {
        clearInterval(timer);
        this.log.error({ portal: this.name }, 'A portal hangs; it is ended');
        void worker.terminate();
      }
    }, this.thread.beatMs);
    timer.unref();
    worker.once('exit', () => clearInterval(timer));
  }

  async #supervise(): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      await this.#exited;
      if (signal.aborted) {
        return;
      }
      if (performance.now() - this.#startedAt > STEADY_AFTER_MS) {
        this.#pauseMs = FIRST_PAUSE_MS;
      }
      this.log.error(
        { portal: this.name, pauseMs: this.#pauseMs },
        'A portal has ended; it is started again',
      );
      await sleep(this.#pauseMs, undefined, { signal }).catch(() => undefined); // a stop ends the pause
      this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
      if (signal.aborted) {
        return;
      }
      [this.#worker, this.#exited] = this.#spawn();
      const failure = await this.#run();
      if (failure === undefined) {
        this.log.info({ portal: this.name }, 'The portal serves again');
      } else if (!signal.aborted) {
        this.log.error({ portal: this.name, reason: failure }, 'The portal did not start');
      }
    }
  }

  #write(line: string): void {
    const {
      level,
      time: _time,
      replica: _replica,
      msg,
      ...details
    } = JSON.parse(line) as { level: 'info'; time: string; replica: string; msg: string };
    this.log[level]({ portal: this.name, ...details }, msg);
  }
}
