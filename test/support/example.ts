import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { poll } from '../../src/embedded/deadline.js';
import { withTimeout } from '../../src/timing.js';

const PROGRAM = path.resolve(import.meta.dirname, '../../../examples/words/server.js');
const START_TIMEOUT_MS = 20_000;
const END_TIMEOUT_MS = 10_000;

/** The example application `examples/words`, in a process of its own. */
export class ExampleApplication {
  output = '';
  /** Its exit code; undefined while it runs. */
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;

  private constructor(env: NodeJS.ProcessEnv) {
    this.#child = spawn(process.execPath, [PROGRAM], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const endWithTests = () => this.#child.kill('SIGKILL');
    process.once('exit', endWithTests);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
    this.ended = new Promise((resolve) =>
      this.#child.once('close', (code) => {
        process.off('exit', endWithTests);
        resolve(code);
      }),
    );
  }

  /** Starts it without waiting. */
  static launch(env: NodeJS.ProcessEnv): ExampleApplication {
    return new ExampleApplication(env);
  }

  /** Starts it with these credentials bound. @throws Error with what it printed when it does not start */
  static async start(credentials: object): Promise<ExampleApplication> {
    const service = { name: 'my-etcd', label: 'compose-for-etcd', tags: ['etcd'], credentials };
    const example = new ExampleApplication({
      VCAP_SERVICES: JSON.stringify({ 'compose-for-etcd': [service] }),
    });
    let hasEnded = false;
    void example.ended.then(() => {
      hasEnded = true;
    });
    await poll(() => example.#address() ?? (hasEnded || undefined), Date.now() + START_TIMEOUT_MS);
    if (example.#address() === undefined) {
      await example.stop();
      throw new Error(`The example did not start: ${example.output.trim()}`);
    }
    return example;
  }

  get url(): string {
    return this.#address() as string;
  }

  /** @returns the exit code. @throws Error when it does not end in time */
  async stop(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    const code = await withTimeout(this.ended, END_TIMEOUT_MS);
    if (code === undefined) {
      this.#child.kill('SIGKILL');
      throw new Error(`The example did not end within ${END_TIMEOUT_MS} ms: ${this.output.trim()}`);
    }
    return code;
  }

  #address(): string | undefined {
    return /are at (http:\S+)/.exec(this.output)?.[1];
  }
}
