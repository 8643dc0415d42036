import { type ExecFileOptions, execFile } from 'node:child_process';
import { promisify } from 'node:util';

/**
 * Runs a program to its end and returns what it printed on standard output. After the time it is killed.
 *
 * @throws Error with one line when the program can't be started, fails or takes too long
 */
export async function runCommand(
  program: string,
  args: readonly string[],
  { timeoutMs, ...options }: Pick<ExecFileOptions, 'cwd' | 'env'> & { timeoutMs: number },
): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, args, {
      ...options,
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    return stdout;
  } catch (error) {
    const { killed, code, stderr, message } = error as Error & {
      killed?: boolean;
      code?: number | string;
      stderr?: string;
    };
    if (killed) {
      throw new Error(`${program} took longer than ${timeoutMs} ms`, { cause: error });
    }
    const lastLine = stderr?.trim().split('\n').at(-1);
    const why = typeof code === 'number' ? `failed with status ${code}` : message.split('\n')[0];
    throw new Error(`${program} ${why}${lastLine ? `: ${lastLine}` : ''}`, { cause: error });
  }
}
