import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { lockDataDir } from '../../src/embedded/data-lock.js';

const MODULE = new URL('../../src/embedded/data-lock.js', import.meta.url).href;

describe('the lock of a data folder', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lock-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('has one holder at a time, by whatever path, and can be taken again after its release', async () => {
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => lockDataDir(folder)));
    const holders = results.filter((result) => result.status === 'fulfilled');
    assert.equal(holders.length, 1);
    const other = `${folder}-link`;
    await symlink(folder, other);
    try {
      await assert.rejects(
        lockDataDir(other),
        /^Error: DATA_DIR .* is in use by another broker: stop it, or/,
      );
      await holders[0]?.value();
      await (await lockDataDir(other))();
    } finally {
      await rm(other);
    }
  });

  it('does not keep others from their folders', async () => {
    const second = await mkdtemp(path.join(tmpdir(), 'lock-'));
    const unlock = [await lockDataDir(folder), await lockDataDir(second)];
    await Promise.all(unlock.map((each) => each()));
    await rm(second, { recursive: true });
  });

  it('ends with the process that holds it, however that ends', async () => {
    const script = `
      const { lockDataDir } = await import(${JSON.stringify(MODULE)});
      await lockDataDir(${JSON.stringify(folder)});
      console.log('held');
      setInterval(() => undefined, 1000);`;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    await assert.rejects(lockDataDir(folder), /is in use/);
    const gone = new Promise((resolve) => holder.once('exit', resolve));
    holder.kill('SIGKILL');
    await gone;
    await (await lockDataDir(folder))();
  });
});
