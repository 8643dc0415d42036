import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Application } from '../../src/application.js';
import { welcome } from '../../src/cli/welcome.js';
import { Secret } from '../../src/credentials/secret.js';

describe('What is said after the start', () => {
  const application: Application = {
    url: 'http://localhost:8080',
    publicUrl: 'https://broker.example.com',
    username: 'broker',
    endpoints: ['https://localhost:2379'],
    names: 'etcd',
    stop: async () => undefined,
  };
  /** The words that a shell makes of the line that runs a program. */
  const words = (lines: string[], program: string, env: NodeJS.ProcessEnv = {}): string[] => {
    const line = lines.find((each) => each.trim().startsWith(`${program} `)) ?? '';
    const script = `set -- ${line}\nprintf '%s\\n' "$@"`;
    return execFileSync('sh', ['-c', script], { env: { PATH: process.env.PATH, ...env } })
      .toString()
      .trimEnd()
      .split('\n');
  };

  it('shows a new password once, and lines to paste that read it from its file', () => {
    const folder = mkdtempSync(path.join(tmpdir(), "it's a folder "));
    try {
      const file = path.join(folder, 'broker-password');
      writeFileSync(file, 'generated-password\n');
      const secret = new Secret('generated-password');
      const first = welcome({ ...application, keptPassword: { secret, file, isNew: true } }, 'embedded');
      assert.equal(first.filter((line) => line.includes('generated-password')).length, 1);
      const later = welcome({ ...application, keptPassword: { secret, file, isNew: false } }, 'embedded');
      assert.ok(!later.join('\n').includes('generated-password'));
      assert.deepEqual(words(later, 'curl').slice(0, 3), ['curl', '-u', 'broker:generated-password']);
      assert.deepEqual(words(later, 'cf'), [
        'cf',
        'create-service-broker',
        'compose-etcd',
        'broker',
        'generated-password',
        'https://broker.example.com',
      ]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('never shows a password that was configured, and quotes an odd user name', () => {
    const lines = welcome({ ...application, username: "o'brien $HOME" }, 'external');
    const env = { BROKER_PASSWORD: 'a configured password' };
    assert.equal(words(lines, 'curl', env)[2], "o'brien $HOME:a configured password");
  });
});
