import { readdir, readFile } from 'node:fs/promises';
import { isMissing } from './durable-file.js';
import { runCommand } from './run-command.js';

const PS_TIMEOUT_MS = 5_000;

/**
 * What tells a process from another one that has the same id later: the moment of its start.
 *
 * @returns undefined when no such process runs
 */
export async function processIdentity(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    try {
      const [boot, stat] = await Promise.all([
        readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
        readFile(`/proc/${pid}/stat`, 'utf8'),
      ]);
      // The program's name, the second field, is in brackets and may hold spaces; the start is the 22nd field.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const zombie = fields[0] === 'Z' || fields[0] === 'X';
      return zombie ? undefined : `${boot.trim()} ${fields[19]}`;
    } catch (error) {
      if (hasEnded(error)) {
        return undefined;
      }
      throw error;
    }
  }
  try {
    const started = await runCommand('ps', ['-o', 'lstart=', '-p', String(pid)], {
      timeoutMs: PS_TIMEOUT_MS,
    });
    return started.trim() || undefined;
  } catch {
    return undefined; // ps fails when there is no such process
  }
}

/** The ids of the running etcd processes whose data folder is one of these. etcd's guardians are not among them. */
export async function etcdsUsing(etcdDataDirs: readonly string[]): Promise<number[]> {
  const wanted = etcdDataDirs.map(dataDirArgument);
  if (process.platform !== 'linux') {
    const table = await runCommand('ps', ['-axww', '-o', 'pid=,command='], { timeoutMs: PS_TIMEOUT_MS });
    return table
      .split('\n')
      .filter(
        (line) => wanted.some((argument) => line.includes(` ${argument} --name=`)) && !line.includes(' -c '),
      )
      .map((line) => Number.parseInt(line, 10));
  }
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) {
      continue;
    }
    try {
      const args = (await readFile(`/proc/${entry}/cmdline`, 'utf8')).split('\0');
      if (args[1] !== undefined && wanted.includes(args[1])) {
        found.push(Number(entry));
      }
    } catch (error) {
      if (!hasEnded(error)) {
        throw error;
      }
    }
  }
  return found;
}

/** etcd's first argument, by which its process is recognised. */
export function dataDirArgument(etcdDataDir: string): string {
  return `--data-dir=${etcdDataDir}`;
}

// A process that ends while its file is read gives ESRCH; other users' processes may be hidden.
function hasEnded(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return isMissing(error) || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM';
}
