import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { lockDataDir } from '../../src/embedded/data-lock.js';
import { processIdentity } from '../../src/embedded/process-table.js';

describe('the lock of a data folder', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lock-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const lock = (content: object | string) =>
    writeFile(
      path.join(folder, 'embedded.lock-3'),
      typeof content === 'string' ? content : JSON.stringify(content),
    );

  it('has one owner at a time and is free again afterwards', async () => {
    const unlock = await lockDataDir(folder);
    await assert.rejects(lockDataDir(folder), /is in use by this process: stop it, or set DATA_DIR/);
    await unlock();
    await unlock();
    await (await lockDataDir(folder))();
    assert.deepEqual(await readdir(folder), ['embedded.lock-2']);
  });

  it('is taken over from a dead process, by one of several', async () => {
    const dead = spawn('true');
    await new Promise((resolve) => dead.once('exit', resolve));
    for (const stale of ['', 'rubbish', { pid: dead.pid, identity: 'gone' }]) {
      await lock(stale);
      const results = await Promise.allSettled(Array.from({ length: 8 }, () => lockDataDir(folder)));
      const winners = results.filter((result) => result.status === 'fulfilled');
      assert.equal(winners.length, 1, `expected one owner, saw ${winners.length}`);
      assert.deepEqual(await readdir(folder), ['embedded.lock-4'], 'no drafts are left');
      await winners[0]?.value();
      await rm(path.join(folder, 'embedded.lock-4'));
    }
  });

  it('is taken over when its process id belongs to another process by now', async () => {
    await lock({ pid: process.ppid, identity: 'another start' });
    await (await lockDataDir(folder))();
  });

  it('is respected while its owner lives', async () => {
    await lock({ pid: process.ppid, identity: await processIdentity(process.ppid) });
    await assert.rejects(lockDataDir(folder), new RegExp(`is in use by process ${process.ppid}`));
  });
});
