import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The project's own folder. */
export const PROJECT = path.resolve(import.meta.dirname, '../../../..');

/** A folder of its own for a test. The caller removes it with {@link remove}. */
export function emptyFolder(): Promise<string> {
  return mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-test-'));
}

export function remove(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

/** The paths of all files in a folder, relative to it, sorted. */
export async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
}

/** The environment of the tests without what npm and mocha say of this project to their children. */
export function machineEnvironment(): NodeJS.ProcessEnv {
  const own = /^npm_|^(NODE_OPTIONS|NODE_PATH|NODE_ENV|INIT_CWD)$/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)));
}
