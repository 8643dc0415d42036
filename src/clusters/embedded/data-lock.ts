import { randomBytes } from 'node:crypto';
import { link, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { poll } from './deadline.js';
import { isMissing, readIfPresent } from './durable-file.js';
import type { EmbeddedLog } from './member.js';
import { etcdsUsing, processIdentity } from './process-table.js';

const LEFTOVER_TIMEOUT_MS = 3_000;
const KILL_TIMEOUT_MS = 5_000;
const ATTEMPTS = 5;

interface Owner {
  pid: number;
  identity: string;
}

/**
 * Takes a data folder for this process. A lock that a dead process left is taken over.
 *
 * @returns a function that gives the folder free again
 * @throws Error with one line when a live process owns the folder
 */
export async function lockDataDir(dataDir: string): Promise<() => Promise<void>> {
  const file = path.join(dataDir, 'embedded.lock');
  const identity = await processIdentity(process.pid);
  const mine = `${JSON.stringify({ pid: process.pid, identity, token: randomBytes(6).toString('hex') })}\n`;
  const draft = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  await writeFile(draft, mine, { mode: 0o600, flag: 'wx' });
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (await linkIfFree(draft, file)) {
        return async () => {
          if ((await readIfPresent(file)) === mine) {
            await rm(file, { force: true });
          }
        };
      }
      const seen = await readIfPresent(file);
      const owner = seen === undefined ? undefined : readOwner(seen);
      if (owner !== undefined && (await processIdentity(owner.pid)) === owner.identity) {
        throw new Error(
          `DATA_DIR ${dataDir} is in use by ${owner.pid === process.pid ? 'this process' : `process ${owner.pid}`}: stop it, or set DATA_DIR to another folder`,
        );
      }
      if (seen !== undefined) {
        await removeStale(file, seen);
      }
    }
  } finally {
    await rm(draft, { force: true });
  }
  throw new Error(
    `DATA_DIR ${dataDir} is being taken by other processes: stop them, or set DATA_DIR to another folder`,
  );
}

/**
 * Waits for etcd processes that a dead broker left in these folders; after 3 s ends them. Call it only while the lock
 * is held: then no live broker can own them.
 *
 * @throws Error when such a process can't be ended
 */
export async function endLeftovers(etcdDataDirs: readonly string[], log: EmbeddedLog): Promise<void> {
  const goneBy = (deadline: number) =>
    poll(async () => ((await etcdsUsing(etcdDataDirs)).length === 0 ? true : undefined), deadline, 25);
  if (await goneBy(Date.now() + LEFTOVER_TIMEOUT_MS)) {
    return;
  }
  for (const pid of await etcdsUsing(etcdDataDirs)) {
    log('warn', `Ending etcd process ${pid}, which an earlier broker left`);
    endProcess(pid);
  }
  if (!(await goneBy(Date.now() + KILL_TIMEOUT_MS))) {
    throw new Error(
      `etcd processes of an earlier broker can't be ended: ${(await etcdsUsing(etcdDataDirs)).join(', ')}`,
    );
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') {
      throw error;
    }
  }
}

// A link is made with its content in place, and only one of several processes can make it.
async function linkIfFree(draft: string, file: string): Promise<boolean> {
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      return false;
    }
    throw error;
  }
}

// Two processes may find the same stale lock: the slower one must not remove the lock that the quicker one has made.
async function removeStale(file: string, stale: string): Promise<void> {
  const aside = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await rename(file, aside);
  } catch (error) {
    if (isMissing(error)) {
      return;
    }
    throw error;
  }
  if ((await readIfPresent(aside)) !== stale) {
    await linkIfFree(aside, file);
  }
  await rm(aside, { force: true });
}

function readOwner(text: string): Owner | undefined {
  try {
    const { pid, identity } = JSON.parse(text) as Partial<Owner>;
    return typeof pid === 'number' && typeof identity === 'string' ? { pid, identity } : undefined;
  } catch {
    return undefined; // not whole, so nobody's
  }
}
