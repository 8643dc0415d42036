import { spawn } from 'node:child_process';

const MAX_OUTPUT_BYTES = 64 * 1024;
const KILL_GRACE_MS = 1_000;

export interface CommandOptions {
  /** After so many milliseconds the command is killed. */
  timeoutMs: number;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
}

/**
 * Runs a program to its end and returns what it printed (standard output, the last 64 KiB).
 *
 * @throws Error with one line when the program can't be started, fails, takes too long or is aborted
 */
export async function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<string> {
  options.signal?.throwIfAborted();
  return await new Promise<string>((resolve, reject) => {
    // A group of its own, so that the time limit also ends the helpers that apt-get and tar start.
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let output = '';
    let errors = '';
    let ended: string | undefined;
    let lastResort: NodeJS.Timeout | undefined;
    const end = (why: string) => {
      ended ??= why;
      killGroup(child.pid);
      // A helper that has left the group may still hold the pipes: don't wait for it.
      lastResort ??= setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, KILL_GRACE_MS);
    };
    const timer = setTimeout(() => end(`took longer than ${options.timeoutMs} ms`), options.timeoutMs);
    const onAbort = () => end('was aborted');
    options.signal?.addEventListener('abort', onAbort, { once: true });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-MAX_OUTPUT_BYTES);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-MAX_OUTPUT_BYTES);
    });
    const settle = (act: () => void) => {
      clearTimeout(timer);
      clearTimeout(lastResort);
      options.signal?.removeEventListener('abort', onAbort);
      act();
    };
    child.once('error', (error) => settle(() => reject(new Error(`${program}: ${error.message}`))));
    child.once('close', (code, signal) =>
      settle(() => {
        if (code === 0 && ended === undefined) {
          resolve(output);
          return;
        }
        const why = ended ?? (signal ? `was ended by ${signal}` : `failed with status ${code}`);
        const lastLine = errors.trim().split('\n').at(-1) ?? '';
        reject(new Error(`${program} ${why}${lastLine ? `: ${lastLine}` : ''}`));
      }),
    );
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) {
    return;
  }
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') {
      throw error;
    }
  }
}
