import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { poll } from '../../src/embedded/deadline.js';
import { withTimeout } from '../../src/timing.js';

const DEMO = path.resolve(import.meta.dirname, '../demo.js');
const START_TIMEOUT_MS = 50_000;
const END_TIMEOUT_MS = 20_000;

describe('npm run demo -- --keep', () => {
  it('runs the example until Ctrl-C', async () => {
    const demo = spawn(process.execPath, [DEMO, '--keep'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [demo.stdout, demo.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const ended = new Promise<number | null>((resolve) => demo.once('close', resolve));
    try {
      const find = () => /^Open (http:\S+) /m.exec(output)?.[1] ?? (demo.exitCode === null ? undefined : '');
      const url = await poll(find, Date.now() + START_TIMEOUT_MS);
      assert.ok(url, output);
      const response = await fetch(url, { headers: { connection: 'close' } });
      assert.match(await response.text(), /Words in etcd/);
      demo.kill('SIGINT');
      assert.equal(await withTimeout(ended, END_TIMEOUT_MS), 0, output);
      await assert.rejects(fetch(url));
    } finally {
      demo.kill('SIGKILL');
    }
  });
});
