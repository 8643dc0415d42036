import { randomBytes } from 'node:crypto';
import { link, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { poll } from './deadline.js';
import { readIfPresent, writeDurably } from './durable-file.js';
import type { EmbeddedLog } from './member.js';
import { etcdsUsing, processIdentity } from './process-table.js';

const LEFTOVER_TIMEOUT_MS = 3_000;
const KILL_TIMEOUT_MS = 5_000;
const ATTEMPTS = 20;
const PREFIX = 'embedded.lock-';

interface Owner {
  pid: number;
  identity: string;
}

/**
 * Takes a data folder for this process. A lock that a dead process left is taken over.
 *
 * The locks are numbered files, of which the highest counts. A stale one is never removed by those who want the
 * folder: they all try to make the next one, and the file system lets one of them. So however many processes find the
 * same stale lock at once, one wins.
 *
 * @returns a function that gives the folder free again
 * @throws Error with one line when a live process owns the folder
 */
export async function lockDataDir(dataDir: string): Promise<() => Promise<void>> {
  const draft = path.join(dataDir, `${PREFIX}${randomBytes(6).toString('hex')}.tmp`);
  const mine = { pid: process.pid, identity: await processIdentity(process.pid) };
  await writeFile(draft, `${JSON.stringify(mine)}\n`, { mode: 0o600, flag: 'wx' });
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const last = Math.max(0, ...(await numbers(dataDir)));
      const owner = readOwner(await readIfPresent(lockFile(dataDir, last)));
      if (owner !== undefined && (await processIdentity(owner.pid)) === owner.identity) {
        const who = owner.pid === process.pid ? 'this process' : `process ${owner.pid}`;
        throw new Error(
          `DATA_DIR ${dataDir} is in use by ${who}: stop it, or set DATA_DIR to another folder`,
        );
      }
      if (await take(dataDir, draft, last + 1)) {
        // Not removed but emptied: numbers must only grow.
        return () => writeDurably(lockFile(dataDir, last + 1), '{}\n', 0o600);
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
async function take(dataDir: string, draft: string, number: number): Promise<boolean> {
  const file = lockFile(dataDir, number);
  try {
    await link(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      return false;
    }
    throw error;
  }
  const present = await numbers(dataDir);
  if (present.some((other) => other > number)) {
    // A slow start: others have taken this number and the next one since, and removed this one.
    await rm(file, { force: true });
    return false;
  }
  await Promise.all(
    present.filter((other) => other < number).map((other) => rm(lockFile(dataDir, other), { force: true })),
  );
  return true;
}

async function numbers(dataDir: string): Promise<number[]> {
  const names = await readdir(dataDir);
  return names
    .filter((name) => name.startsWith(PREFIX) && /^\d{1,12}$/.test(name.slice(PREFIX.length)))
    .map((name) => Number(name.slice(PREFIX.length)));
}

function lockFile(dataDir: string, number: number): string {
  return path.join(dataDir, `${PREFIX}${number}`);
}

function readOwner(text: string | undefined): Owner | undefined {
  try {
    const { pid, identity } = JSON.parse(text ?? '{}') as Partial<Owner>;
    return typeof pid === 'number' && typeof identity === 'string' ? { pid, identity } : undefined;
  } catch {
    return undefined; // not whole, so nobody's
  }
}
