import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { PASSWORD, TestBroker, USERNAME } from '../../support/broker.js';

const MAIN = path.resolve(import.meta.dirname, '../../../src/main.js');
const START_TIMEOUT_MS = 30_000;
const KEPT_LINES = 2_000;

/** One encryption key for all brokers of a test. */
export function newEncryptionKey(): string {
  return randomBytes(32).toString('base64');
}

const running = new Set<ChildProcess>();
// A test run that breaks off leaves no broker behind either.
process.once('exit', () => {
  for (const child of running) {
    child.kill('SIGKILL');
  }
});

export interface BrokerProcessOptions {
  env: Record<string, string>;
  /** Modules that are loaded before the broker. */
  preload?: readonly string[];
}

/** The broker as users start it: a process of its own, with a client for it. */
export class BrokerProcess extends TestBroker {
  #child: ChildProcess | undefined;
  #url = '';
  #exited: Promise<number | NodeJS.Signals | null> = Promise.resolve(null);
  readonly #preload: readonly string[];
  #isMeant = false;

  constructor({ env, preload = [] }: BrokerProcessOptions) {
    super('', env);
    this.#preload = preload;
  }

  override get url(): string {
    return this.#url;
  }

  get pid(): number {
    return this.#child?.pid as number;
  }

  /** Fulfilled with the status or the signal that the process ended with. */
  get exited(): Promise<number | NodeJS.Signals | null> {
    return this.#exited;
  }

  override async start(): Promise<this> {
    const imports = this.#preload.flatMap((file) => ['--import', file]);
    const child = spawn(process.execPath, ['--enable-source-maps', ...imports, MAIN], {
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        PORT: '0',
        BROKER_USERNAME: USERNAME,
        BROKER_PASSWORD: PASSWORD,
        LOG_LEVEL: 'info',
        ...this.env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const errors: string[] = [];
    this.#isMeant = false;
    this.#child = child;
    running.add(child);
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        running.delete(child);
        if (!this.#isMeant) {
          console.error(`A broker ended by itself (${signal ?? code}): ${errors.slice(-30).join('\n')}`);
        }
        resolve(signal ?? code);
      });
    });
    const url = new Promise<string>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        (line.startsWith('{') ? this.logged : this.said).push(line);
        if (this.logged.length > KEPT_LINES) {
          this.logged.splice(0, KEPT_LINES / 2);
        }
        const found = /^The service broker listens at (\S+)/.exec(line)?.[1];
        if (found !== undefined) {
          // `localhost` costs a look-up of names at each request, and nothing here is about that.
          resolve(found.replace('//localhost:', '//127.0.0.1:'));
        }
      });
    });
    createInterface({ input: child.stderr }).on('line', (line) => {
      errors.push(line);
      this.said.push(line);
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error('The broker did not start in time')), START_TIMEOUT_MS);
    });
    const ended = this.#exited.then((how) => {
      throw new Error(`The broker ended while starting (${how}): ${errors.join(' | ')}`);
    });
    ended.catch(() => undefined);
    try {
      this.#url = await Promise.race([url, ended, late]);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    } finally {
      clearTimeout(timer);
    }
    return this;
  }

  /** Sends a signal and, unless it only pauses or continues the process, waits for its end. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    this.#isMeant ||= signal === 'SIGTERM' || signal === 'SIGKILL';
    this.#child?.kill(signal);
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT' && signal !== 'SIGUSR2') {
      await this.#exited;
    }
  }

  /** Asks the broker to stop and waits until it has. */
  override async stop(): Promise<void> {
    await this.kill('SIGTERM');
  }

  /** Ends the process at once if it still runs. */
  override async dispose(): Promise<void> {
    await this.kill('SIGKILL');
  }
}
