import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { instancePath, startTestBroker, type TestBroker } from '../support/broker.js';
import { runCli } from '../support/cli.js';
import { asTenant, type Credentials } from '../support/tenant.js';

describe('A cluster that is lost altogether', () => {
  let folder: string;
  let broker: TestBroker | undefined;
  let env: Record<string, string>;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'copies-'));
    env = {
      BROKER_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
      BACKUP_DIR: path.join(folder, 'backups'),
    };
  });
  after(async () => {
    await broker?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await runCli(args, {
      ...env,
      PORTAL: 'on',
      DATA_DIR: broker?.dataDir as string,
    });
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}${stdout}`);
    return stdout;
  };
  const start = async () => {
    broker = await startTestBroker({ ...env, PORTAL: 'on' });
    return broker;
  };

  it('comes back from a folder, with all bindings’ credentials valid', async function () {
    this.timeout(60_000);
    const before = await start();
    const credentials: Credentials[] = [];
    for (const id of ['one', 'two', 'never-backed-up']) {
      await before.provision(id);
      credentials.push((await before.bind(id, `${id}-binding`)).body.credentials);
    }
    for (const [at, one] of credentials.entries()) {
      await asTenant(one, async (client) => {
        await client.put('k').value(`of ${at}`);
      });
    }
    for (const id of ['one', 'two']) {
      await run('backup', 'now', id);
    }
    const records = path.join(folder, 'records');
    assert.match(await run('backup', 'records', '--output', records), /records: \d+ records, sealed\n$/);
    await before.dispose();

    // Another machine: nothing is left but the folder, and the keys that the operator keeps.
    const after = await start();
    const told = JSON.parse(await run('backup', 'restore-records', '--file', records, '--json'));
    assert.deepEqual([told.restoring, told.empty], [2, 1]);
    const again = await runCli(['backup', 'restore-records', '--file', records], {
      ...env,
      DATA_DIR: after.dataDir,
    });
    assert.match(again.stderr, /There are 3 instances in the records already/);
    for (const id of ['one', 'two']) {
      for (let state = 'in progress'; state === 'in progress'; ) {
        const { body } = await after.send('GET', `${instancePath(id)}/last_operation`);
        state = body.state;
        assert.notEqual(state, 'failed', body.description);
      }
    }
    await run('check', '--repair', '--yes');
    assert.match(await run('check', '--all'), /Nothing differs/);
    // The portals are elsewhere, with another authority of the embedded etcd's; users and passwords are as they were.
    const [uri] = after.application.endpoints;
    for (const [at, one] of credentials.entries()) {
      const { username, password } = one;
      const here = String(uri).replace('://', `://${username}:${password}@`);
      const fresh = (await after.send('GET', `${instancePath('one')}/service_bindings/one-binding`)).body
        .credentials;
      assert.equal(fresh.username, credentials[0]?.username);
      const value = await asTenant(
        { ...one, ca_certificate_base64: fresh.ca_certificate_base64, uri: here },
        (client) => client.get('k').string(),
      );
      assert.equal(value, at < 2 ? `of ${at}` : null);
    }
  });
});
