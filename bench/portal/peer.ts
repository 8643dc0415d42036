import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

const STOP_WITHIN_MS = 10_000;

interface Ask {
  id: number;
  name: string;
  params: unknown;
}

interface Reply {
  id: number;
  result?: unknown;
  error?: string;
}

/** What a process that {@link Peer} starts can be asked, by name. */
export type Handlers = { [name: string]: (params: never) => unknown };

/** A process of Node's that answers questions over Node's own channel. */
export class Peer {
  readonly #waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>();
  readonly #child: ChildProcess;
  #asked = 0;

  constructor(file: string, execArgv: readonly string[] = []) {
    this.#child = fork(file, { execArgv: ['--enable-source-maps', ...execArgv] });
    this.#child.on('message', ({ id, result, error }: Reply) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) {
        waiting?.resolve(result as never);
      } else {
        waiting?.reject(new Error(error));
      }
    });
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) {
        reject(new Error(`${file} ended with ${code ?? signal}`));
      }
      this.#waiting.clear();
    });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  ask<T>(name: string, params: unknown = {}): Promise<T> {
    this.#asked += 1;
    const message: Ask = { id: this.#asked, name, params };
    return new Promise((resolve, reject) => {
      this.#waiting.set(message.id, { resolve, reject });
      this.#child.send(message, (error) => {
        if (error !== null) {
          reject(error);
        }
      });
    });
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null) {
      const exit = once(child, 'exit');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
      if (child.connected) {
        child.disconnect();
      }
      await exit;
      clearTimeout(timer);
    }
  }
}

/** The other side: answers until the process that asks is gone, then ends. */
export function answerWith(handlers: Handlers): void {
  process.on('message', async ({ id, name, params }: Ask) => {
    try {
      const result = await handlers[name]?.(params as never);
      process.send?.({ id, result });
    } catch (error) {
      process.send?.({ id, error: (error as Error).stack });
    }
  });
  process.on('disconnect', () => process.exit());
  // The terminal's Ctrl-C reaches all processes; who started this one ends it.
  process.on('SIGINT', () => undefined);
}
