import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { poll } from '../../src/embedded/deadline.js';
import { withTimeout } from '../../src/timing.js';

const PROGRAM = path.resolve(import.meta.dirname, '../../src/cli.js');
const START_TIMEOUT_MS = 30_000;
const END_TIMEOUT_MS = 20_000;

/** `compose-etcd-broker portal` in a process of its own. */
export class PortalProcess {
  output = '';
  readonly child: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals | null>;

  private constructor(env: Record<string, string>) {
    this.child = spawn(process.execPath, [PROGRAM, 'portal'], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const endWithTests = () => this.child.kill('SIGKILL');
    process.once('exit', endWithTests);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
    this.ended = new Promise((resolve) =>
      this.child.once('close', (code, signal) => {
        process.off('exit', endWithTests);
        resolve(signal ?? code);
      }),
    );
  }

  /** Resolves when the portal listens. @throws Error with what it printed when it does not */
  static async start(env: Record<string, string>): Promise<PortalProcess> {
    const portal = new PortalProcess(env);
    const listens = await poll(
      () =>
        /The portal listens/.test(portal.output) ? true : portal.child.exitCode !== null ? false : undefined,
      Date.now() + START_TIMEOUT_MS,
    );
    if (listens !== true) {
      portal.child.kill('SIGKILL');
      throw new Error(`The portal did not start: ${portal.output}`);
    }
    return portal;
  }

  /** @returns its exit code, or the signal that ended it */
  async end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null | undefined> {
    this.child.kill(signal);
    return withTimeout(this.ended, END_TIMEOUT_MS);
  }
}
