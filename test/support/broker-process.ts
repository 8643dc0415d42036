import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { poll } from '../../src/embedded/deadline.js';
import { withTimeout } from '../../src/timing.js';
import { PASSWORD, TestBroker, USERNAME } from './broker.js';
import { etcdsUsing } from './processes.js';

const ROOT = path.resolve(import.meta.dirname, '../../..');
/** What `npm start` runs. */
const START = path.join(ROOT, 'scripts', 'start.mjs');
// The first start of all may have to download an etcd.
const START_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 50_000;

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** From the start of the process to its end. */
  milliseconds: number;
}

/** A broker in a process of its own, started as `npm start` does, and a client for it. */
export class BrokerProcess extends TestBroker {
  /** The program and its arguments. */
  command: readonly [string, ...string[]] = [process.execPath, START];
  stdout = '';
  stderr = '';
  child!: ChildProcess;
  /** How the process ended. */
  ended!: Promise<Ended>;
  #url: string | undefined;

  override get url(): string {
    if (this.#url === undefined) {
      throw new Error('The broker has not said where it listens');
    }
    return this.#url;
  }

  get pid(): number {
    return this.child.pid as number;
  }

  /** Starts the process and resolves when it says where it listens. */
  override async start(): Promise<this> {
    this.launch();
    let hasEnded = false;
    void this.ended.then(() => {
      hasEnded = true;
    });
    await poll(() => this.#url !== undefined || hasEnded || undefined, Date.now() + START_TIMEOUT_MS, 5);
    if (this.#url === undefined || hasEnded) {
      throw new Error(`The broker did not start: ${(this.stderr || this.stdout).trim()}`);
    }
    return this;
  }

  /** Starts the process and does not wait. */
  launch(): void {
    const startedAt = performance.now();
    this.stdout = '';
    this.stderr = '';
    this.#url = undefined;
    const [program, ...args] = this.command;
    const child = spawn(program, args, {
      cwd: ROOT,
      env: environment({
        PORT: '0',
        DATA_DIR: this.dataDir,
        BROKER_USERNAME: USERNAME,
        BROKER_PASSWORD: PASSWORD,
        PORTAL: 'off',
        ...this.env,
      }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    const endWithTests = () => child.kill('SIGKILL');
    process.once('exit', endWithTests);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#url ??= /listens at (\S+)/.exec(this.stdout)?.[1];
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        process.off('exit', endWithTests);
        resolve({ code, signal, milliseconds: performance.now() - startedAt });
      });
    });
  }

  /** Sends a signal and waits for the end. */
  async end(signal: NodeJS.Signals): Promise<Ended> {
    this.child.kill(signal);
    return this.outcome();
  }

  /** @throws Error when the process does not end */
  async outcome(limitMs = END_TIMEOUT_MS): Promise<Ended> {
    const ended = await withTimeout(this.ended, limitMs);
    if (ended === undefined) {
      throw new Error(`The broker did not end within ${limitMs} ms: ${this.stderr || this.stdout}`);
    }
    return ended;
  }

  override async stop(): Promise<void> {
    await this.end('SIGTERM');
  }

  override async dispose(): Promise<void> {
    if (this.child?.exitCode === null && this.child.signalCode === null) {
      await this.end('SIGKILL');
    }
    await poll(
      async () => ((await this.etcds()).length === 0 ? true : undefined),
      Date.now() + START_TIMEOUT_MS,
    );
    // An etcd that was just being started may still write for a moment.
    await rm(this.dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  /** The ids of the processes of its embedded etcd. */
  etcds(): Promise<number[]> {
    return etcdsUsing(this.dataDir);
  }
}

/** A broker that has a folder of its own and is not started yet. An empty text takes a usual setting away. */
export async function brokerProcess(env: Record<string, string> = {}): Promise<BrokerProcess> {
  return new BrokerProcess(await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-test-')), env);
}

/** Settings of the person who runs the tests must not reach the broker. */
function environment(settings: Record<string, string>): NodeJS.ProcessEnv {
  const { PATH, HOME, ETCD_BINARY } = process.env;
  return { PATH, HOME, ...(ETCD_BINARY === undefined ? {} : { ETCD_BINARY }), ...settings };
}
