import assert from 'node:assert/strict';
import { access, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { runCommand } from '../../src/embedded/run-command.js';
import { emptyFolder, PROJECT, remove } from './support/folders.js';

const TIMEOUT_MS = 30_000;
/** What a unit may be exposed to, of 10: "systemd-analyze security" calls up to 4 "OK" and more than that "MEDIUM". */
const EXPOSURE = 2;

/** How long each takes to stop at most, in seconds. */
const UNITS = { 'compose-etcd-broker.service': 20, 'compose-etcd-portal@.service': 8 } as const;

describe('deploy/systemd', () => {
  for (const [name, drain] of Object.entries(UNITS)) {
    describe(name, () => {
      let text: string;

      before(async () => {
        text = await readFile(path.join(PROJECT, 'deploy/systemd', name), 'utf8');
      });

      it('starts a program of the package, and waits for its end', async () => {
        const [, file] = /^ExecStart=\S+ node_modules\/compose-etcd-broker\/(\S+)/m.exec(text) ?? [];
        await access(path.join(PROJECT, file as string));
        assert.ok(Number(/^TimeoutStopSec=(\d+)$/m.exec(text)?.[1]) > drain);
      });

      it('is taken by systemd, and is exposed to little', async function () {
        const folder = await emptyFolder();
        try {
          const version = await runCommand('systemd-analyze', ['--version'], { timeoutMs: TIMEOUT_MS }).catch(
            () => undefined,
          );
          if (version === undefined) {
            console.log('There is no systemd-analyze here: the unit is not verified.');
            this.skip();
          }
          const unit = path.join(folder, name.replace('@.', '@2379.'));
          // The Node.js of this machine may be elsewhere, and systemd looks for the program.
          await writeFile(unit, text.replace('/usr/bin/node', process.execPath));
          // It only warns of what it does not know.
          const verify = ['-c', 'systemd-analyze verify "$1" 2>&1', 'sh', unit];
          assert.equal(await runCommand('/bin/sh', verify, { timeoutMs: TIMEOUT_MS }), '');
          const threshold = `--threshold=${EXPOSURE * 10}`;
          const security = ['security', '--offline=true', threshold, unit];
          await runCommand('systemd-analyze', security, { timeoutMs: TIMEOUT_MS });
        } finally {
          await remove(folder);
        }
      });
    });
  }
});
