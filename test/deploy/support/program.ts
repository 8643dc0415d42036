import { type ChildProcess, spawn } from 'node:child_process';
import { poll } from '../../../src/embedded/deadline.js';
import { withTimeout } from '../../../src/timing.js';

const START_TIMEOUT_MS = 45_000;
const END_TIMEOUT_MS = 30_000;

export interface ProgramOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Runs it as this user, where the tests run as root. */
  readonly uid?: number;
}

/** A program that was started as an operator starts it, with all that it started itself. */
export class Program {
  output = '';
  readonly child: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals | null>;

  constructor([program, ...args]: readonly [string, ...string[]], { cwd, env, uid }: ProgramOptions) {
    this.child = spawn(program, args, {
      cwd,
      env,
      // A process group of its own: npx starts the program as a child of its own.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    const endWithTests = () => this.#signal('SIGKILL');
    process.once('exit', endWithTests);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => {
        process.off('exit', endWithTests);
        resolve(signal ?? code);
      });
    });
  }

  /** Waits until the output matches. @throws Error with the output when it does not, or when the program ends */
  async says(expected: RegExp): Promise<RegExpExecArray> {
    let hasEnded = false;
    void this.ended.then(
      () => {
        hasEnded = true;
      },
      () => {
        hasEnded = true;
      },
    );
    const found = await poll(
      () => expected.exec(this.output) ?? (hasEnded ? null : undefined),
      Date.now() + START_TIMEOUT_MS,
    );
    if (!found) {
      throw new Error(`The program did not say ${expected}: ${this.output}`);
    }
    return found;
  }

  /** Sends a signal to it and all that it started. @returns its exit code or the signal; undefined when it goes on */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null | undefined> {
    this.#signal(signal);
    return withTimeout(this.ended, END_TIMEOUT_MS);
  }

  /** Ends it for good. */
  async dispose(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await this.end('SIGKILL');
    }
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.child.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null) {
      process.kill(-this.child.pid, signal);
    }
  }
}
