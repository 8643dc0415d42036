import assert from 'node:assert/strict';
import { access, cp, mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openOperation } from '../../src/broker/operations/operations.js';
import type { EtcdClient } from '../../src/etcd/client.js';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { runCli } from '../support/cli.js';
import { rootConnection } from '../support/root-connection.js';

interface Names {
  role: string;
  username: string;
  password: string;
  key_prefix: string;
}

describe('compose-etcd-broker check', () => {
  let broker: TestBroker;
  let root: EtcdClient;
  const bound: Names[] = [];
  const run = (...args: string[]) => runCli(args, { PORTAL: 'off', DATA_DIR: broker.dataDir });

  before(async () => {
    broker = await startTestBroker();
    root = await rootConnection(broker);
    await broker.provision('i');
    for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) {
      bound.push((await broker.bind('i', id)).body.credentials);
    }
  });
  after(async () => {
    root?.close();
    await broker?.dispose();
  });

  /** Breaks the cluster in one way, and expects to be told, repaired, and told that all is well. */
  function finds(kind: string, breakIt: () => Promise<{ name: string }>) {
    it(`finds and repairs: ${kind}`, async () => {
      const { name } = await breakIt();
      const found = await run('check');
      assert.equal(found.code, 1, found.stdout + found.stderr);
      assert.match(found.stdout, new RegExp(`^${kind}: ${name}`, 'm'));
      const repaired = await run('check', '--repair', '--yes');
      assert.equal(repaired.code, 0, repaired.stdout + repaired.stderr);
      const again = await run('check');
      assert.equal(again.code, 0, again.stdout + again.stderr);
      assert.match(again.stdout, /Nothing differs/);
    });
  }
  const names = (index: number) => bound[index] as Names;

  it('says that nothing differs', async () => {
    const { code, stdout } = await run('check');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /1 instances, 6 bindings, 0 operations under way\nNothing differs/);
  });

  finds('role missing', async () => {
    await root.auth.roleDelete({ role: names(0).role });
    return { name: names(0).role };
  });
  finds('user missing', async () => {
    await root.auth.userDelete({ name: names(1).username });
    return { name: names(1).username };
  });
  finds('role not granted', async () => {
    await root.auth.userRevokeRole({ name: names(2).username, role: names(2).role });
    return { name: names(2).username };
  });
  finds('credentials refused', async () => {
    await root.auth.userChangePassword({ name: names(3).username, password: 'another' });
    return { name: names(3).username };
  });
  finds('permission wrong', async () => {
    const perm = { permType: 'Read', key: Buffer.from('/'), range_end: Buffer.from('0') } as const;
    await root.auth.roleGrantPermission({ name: names(4).role, perm });
    return { name: names(4).role };
  });
  finds('roles too many', async () => {
    await root.auth.userGrantRole({ user: names(5).username, role: 'root' });
    return { name: names(5).username };
  });
  finds('stray role', async () => {
    const name = `d-${'1'.repeat(24)}-${'2'.repeat(16)}`;
    await root.auth.roleAdd({ name });
    return { name };
  });
  finds('stray user', async () => {
    const name = `d-${'3'.repeat(24)}-${'4'.repeat(16)}`;
    await root.auth.userAdd({ name, password: 'x'.repeat(20) });
    return { name };
  });
  finds('stray keys', async () => {
    for (const id of ['0'.repeat(24), 'f'.repeat(24), '7'.repeat(24)]) {
      await root.kv.put({ key: Buffer.from(`/d/${id}/a/b`), value: Buffer.from('x') });
    }
    return { name: `/d/${'7'.repeat(24)}/` };
  });
  finds('stray operation', async () => {
    const value = Buffer.from('{"schema":1,"id":"bind-0","kind":"bind","instance_id":"i","owner":"nobody"}');
    await root.kv.put({ key: Buffer.from('/_broker/v1/open/bind-0'), value });
    return { name: 'bind-0' };
  });

  finds('index entry missing', async () => {
    await broker.bind('i', 'expiring', { parameters: { expires_in: '720h' } });
    const range = {
      key: Buffer.from('/_broker/v1/expiring/'),
      range_end: Buffer.from('/_broker/v1/expiring0'),
    };
    const [entry] = (await root.kv.range(range)).kvs;
    assert.ok(entry, 'a binding that expires is in the index');
    await root.kv.deleteRange({ key: entry.key });
    await broker.unbind('i', 'f');
    return { name: entry.key.toString() };
  });
  finds('index entry missing', async () => {
    // As with bindings that are older than this index.
    await broker.bind('i', 'of-an-application', { bind_resource: { app_guid: 'app' } });
    const name = '/_broker/v1/applications/i/app/of-an-application';
    const { deleted } = await root.kv.deleteRange({ key: Buffer.from(name) });
    assert.equal(deleted, '1');
    return { name };
  });
  finds('stray index entry', async () => {
    const name = `/_broker/v1/deployments/${'8'.repeat(24)}`;
    await root.kv.put({ key: Buffer.from(name), value: Buffer.from('{"schema":1,"instance_id":"none"}') });
    return { name };
  });
  for (const kept of [`usage/scans/${'8'.repeat(24)}`, `floors/${'8'.repeat(24)}/A`]) {
    finds('stray index entry', async () => {
      const name = `/_broker/v1/portal/${kept}`;
      await root.kv.put({ key: Buffer.from(name), value: Buffer.from('1 2') });
      return { name };
    });
  }

  finds('backup', async () => {
    const name = `${'8'.repeat(24)}/${'9'.repeat(24)}.data`;
    const file = path.join(broker.dataDir, 'backups', name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, 'never finished');
    await utimes(file, 1, 1);
    return { name };
  });
  finds('backup', async () => {
    const ids = { instance_id: 'i', deployment_id: '8'.repeat(24), backup_id: '9'.repeat(24) };
    const key = `/_broker/v1/backups/index/i/${ids.deployment_id}/${ids.backup_id}`;
    const manifest = { format: 1, kind: 'daily', created_at: new Date().toISOString(), ...ids };
    await root.kv.put({ key: Buffer.from(key), value: Buffer.from(JSON.stringify(manifest)) });
    return { name: `${ids.deployment_id}/${ids.backup_id}` };
  });

  it('neither touches nor reports keys, roles and users that are not exactly of its form', async () => {
    const id = '7'.repeat(24);
    const others = [
      '/elsewhere',
      '/d/ops/config',
      '/d/ops-2/x',
      '/d//x',
      '/d/opkey',
      '/d/é/x',
      `/d/${id}`,
      `/d/${id}/`,
      `/d/${id}/x`,
      `/d/${id}//x`,
      `/d/${id}/A/x`,
      `/d/${id}0/a/x`,
      `/d/${id.toUpperCase().replace('7', 'A')}/a/x`,
    ].map((key) => Buffer.from(key));
    others.push(Buffer.from([0x2f, 0x64, 0x2f, 0xff, 0x00, 0x2f, 0x78]));
    for (const key of others) {
      await root.kv.put({ key, value: Buffer.from('x') });
    }
    await root.kv.put({ key: Buffer.from(`/d/${id}/a/b`), value: Buffer.from('x') });
    const names = ['operators-own', `d-${id}`, `d-${id}-${'0'.repeat(17)}`, `D-${id}-${'0'.repeat(16)}`];
    for (const name of names) {
      await root.auth.roleAdd({ name });
    }
    const { code, stdout } = await run('check', '--repair', '--yes', '--json');
    assert.equal(code, 0, stdout);
    assert.deepEqual(
      JSON.parse(stdout).differences.map(({ kind, what }: { kind: string; what: string }) => [kind, what]),
      [['stray keys', `/d/${id}/a/`]],
    );
    for (const key of others) {
      const { count } = await root.kv.range({ key, count_only: true });
      assert.equal(count, '1', `${key.toString('latin1')} is gone`);
    }
    const { roles } = await root.auth.roleList();
    assert.deepEqual(
      names.filter((name) => !roles.includes(name)),
      [],
    );
  });

  it('names a record that can not be read, goes on with the rest, and judges nothing by its absence', async () => {
    const { role } = names(1);
    const key = Buffer.from('/_broker/v1/bindings/i/b');
    const [record] = (await root.kv.range({ key })).kvs;
    await root.kv.put({ key, value: Buffer.from('{not json') });
    await root.kv.put({ key: Buffer.from('/_broker/v1/open/bind-9'), value: Buffer.from('{not json') });
    await root.auth.roleDelete({ role: names(2).role });
    const { code, stdout } = await run('check', '--json');
    assert.equal(code, 1);
    const found = JSON.parse(stdout).differences.map(({ kind, what }: { kind: string; what: string }) => [
      kind,
      what,
    ]);
    assert.deepEqual(found, [
      ['malformed record', '/_broker/v1/open/bind-9'],
      ['malformed record', '/_broker/v1/bindings/i/b'],
      ['role missing', names(2).role],
    ]);
    const repaired = await run('check', '--repair', '--yes');
    assert.equal(repaired.code, 1, 'what the record spoke of is still there');
    assert.ok(
      (await root.auth.roleList()).roles.includes(role),
      'the role is not judged by a record that is lost',
    );
    const after = await run('check', '--json');
    const left = JSON.parse(after.stdout).differences.map(({ kind }: { kind: string }) => kind);
    assert.deepEqual(left, ['stray role', 'stray user']);
    // The operator has found the record again.
    await root.kv.put({ key, value: record?.value as Buffer });
    assert.equal((await run('check')).code, 0);
  });

  it('says what does not keep tenants apart in the version that it found', async () => {
    assert.match((await run('check')).stdout, /^Note: etcd 3\.\d+\.\d+ alone does not keep tenants apart/m);
  });

  it('repairs nothing where nobody can be asked and --yes is not given', async () => {
    await root.auth.roleDelete({ role: names(0).role });
    const unasked = await run('check', '--repair');
    assert.equal(unasked.code, 1);
    assert.match(unasked.stderr, /add --yes/);
    assert.match((await run('check')).stdout, /^role missing/m);
    assert.equal((await run('check', '--repair', '--yes')).code, 0);
  });

  it('prints one JSON object', async () => {
    const name = `d-${'5'.repeat(24)}-${'6'.repeat(16)}`;
    await root.auth.roleAdd({ name });
    const { code, stdout } = await run('check', '--json');
    assert.equal(code, 1);
    const report = JSON.parse(stdout);
    assert.equal(report.bindings, 7);
    assert.deepEqual(
      report.differences.map(({ kind, what }: { kind: string; what: string }) => [kind, what]),
      [['stray role', name]],
    );
    const repaired = JSON.parse((await run('check', '--json', '--repair', '--yes')).stdout);
    assert.equal(repaired.repairs[0].ok, true);
  });

  it('never prints a password', async () => {
    await root.auth.userDelete({ name: names(1).username });
    const { stdout, stderr } = await run('check', '--repair', '--yes');
    for (const { password } of bound) {
      assert.ok(!(stdout + stderr).includes(password));
    }
  });
});

describe('compose-etcd-broker operations and reseal', () => {
  const [older, newer] = [1, 2].map((byte) => Buffer.alloc(32, byte).toString('base64')) as [string, string];
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker({ BROKER_ENCRYPTION_KEY: older });
    await broker.provision('i');
    await broker.bind('i', 'a');
    await broker.bind('i', 'b');
  });
  after(() => broker?.dispose());

  it('operations lists nothing when nothing is under way', async () => {
    const { code, stdout } = await runCli(['operations'], { PORTAL: 'off', DATA_DIR: broker.dataDir });
    assert.equal(code, 0);
    assert.equal(stdout, 'No operations are under way.\n');
  });

  it('operations lists what is under way, since when', async () => {
    const root = await rootConnection(broker);
    try {
      const since = '2030-01-01T00:00:00.000Z';
      const resource = { instance_id: 'i', binding_id: 'x' };
      const operation = { ...openOperation('bind', resource, 'gone'), id: 'bind-1', started_at: since };
      await root.kv.put({
        key: Buffer.from('/_broker/v1/open/bind-1'),
        value: Buffer.from(JSON.stringify(operation)),
      });
      const { stdout } = await runCli(['operations', '--json'], { PORTAL: 'off', DATA_DIR: broker.dataDir });
      const expected = { kind: 'bind', started_at: since, replica: 'gone, to be taken over' };
      const { kind, started_at, replica } = JSON.parse(stdout).operations[0];
      assert.deepEqual({ kind, started_at, replica }, expected);
      await root.kv.deleteRange({ key: Buffer.from('/_broker/v1/open/bind-1') });
    } finally {
      root.close();
    }
  });

  it('shows ids of the platform on one line and without control characters', async () => {
    const root = await rootConnection(broker);
    const key = Buffer.from('/_broker/v1/open/bind-2');
    try {
      const operation = { id: 'bind-2', instance_id: 'i\n\u001b[31m\u{e0001}', owner: 'gone' };
      await root.kv.put({ key, value: Buffer.from(JSON.stringify({ schema: 1, ...operation })) });
      const { stdout } = await runCli(['operations'], { PORTAL: 'off', DATA_DIR: broker.dataDir });
      assert.match(stdout, /i\\u000a\\u001b\[31m\\udb40\\udc01 /);
      const json = await runCli(['operations', '--json'], { PORTAL: 'off', DATA_DIR: broker.dataDir });
      assert.equal(JSON.parse(json.stdout).operations[0].instance_id, operation.instance_id);
    } finally {
      await root.kv.deleteRange({ key });
      root.close();
    }
  });

  it('says that an encryption key is needed, and makes none', async () => {
    for (const command of ['check', 'reseal']) {
      const { code, stderr } = await runCli([command], { PORTAL: 'off', DATA_DIR: broker.dataDir });
      assert.equal(code, 1);
      assert.match(stderr, /^DATA_DIR [^\n]* holds no encryption key\. Set BROKER_ENCRYPTION_KEY[^\n]*\n$/);
    }
    await assert.rejects(access(path.join(broker.dataDir, 'broker-encryption-key')), { code: 'ENOENT' });
  });

  it('reseal moves every record to the newest key, so that the older one can go', async () => {
    const env = { PORTAL: 'off', DATA_DIR: broker.dataDir, BROKER_ENCRYPTION_KEY: `${newer},${older}` };
    const root = await rootConnection(broker);
    try {
      // As after a rotation of its password.
      const key = Buffer.from('/_broker/v1/bindings/i/a');
      const [kv] = (await root.kv.range({ key })).kvs;
      const record = JSON.parse(String(kv?.value));
      const value = JSON.stringify({ ...record, sealed_etcd_password: record.sealed_password });
      await root.kv.put({ key, value: Buffer.from(value) });
    } finally {
      root.close();
    }
    const first = await runCli(['reseal'], env);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /^2 records sealed anew/);
    const second = JSON.parse((await runCli(['reseal', '--json'], env)).stdout);
    assert.deepEqual([second.resealed, second.unchanged, second.failed], [0, 2, []]);
    const check = await runCli(['check'], { ...env, BROKER_ENCRYPTION_KEY: newer });
    assert.equal(check.code, 0, check.stdout);
  });

  it('reseal names what it can not open', async () => {
    const { code, stdout } = await runCli(['reseal'], {
      PORTAL: 'off',
      DATA_DIR: broker.dataDir,
      BROKER_ENCRYPTION_KEY: older,
    });
    assert.equal(code, 1);
    assert.match(stdout, /NOT sealed anew: i \/ a: .*BROKER_ENCRYPTION_KEY does not hold/);
  });
});

describe('compose-etcd-broker', () => {
  for (const args of [['--help'], ['check', '--help'], ['operations', '--help'], ['reseal', '--help']]) {
    it(`explains itself: ${args.join(' ')}`, async () => {
      const { code, stdout } = await runCli(args, {});
      assert.equal(code, 0);
      assert.match(stdout, /Usage: compose-etcd-broker/);
    });
  }

  for (const [args, problem] of [
    [['chekc'], /"chekc" is not a command/],
    [['toString'], /"toString" is not a command/],
    [['check', '--force'], /--force/],
    [['operations', '--repair'], /belong to check/],
    [['reseal', '--all'], /belong to check/],
    [['operations', '--yes'], /belongs to check and reseal/],
    [['check', 'all'], /one argument too many/],
  ] as const) {
    it(`refuses ${args.join(' ')}`, async () => {
      const { code, stderr } = await runCli(args, {});
      assert.equal(code, 2);
      assert.match(stderr, problem);
    });
  }

  it('says in one line that the broker does not run', async () => {
    const broker = await startTestBroker();
    const copy = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-copy-'));
    try {
      await cp(broker.dataDir, copy, { recursive: true, filter: (file) => !file.endsWith('/etcd') });
      await broker.dispose();
      const { code, stderr } = await runCli(['check'], { DATA_DIR: copy });
      assert.equal(code, 1);
      assert.match(
        stderr,
        /^The embedded etcd of DATA_DIR [^\n]* does not answer\.[^\n]*start the broker[^\n]*\n$/,
      );
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  });

  it('says in one line what is wrong with the cluster', async () => {
    const { code, stderr } = await runCli(['operations'], {
      ETCD_ENDPOINTS: 'https://localhost:1',
      ETCD_USERNAME: 'root',
      ETCD_PASSWORD: 'not used',
      BROKER_USERNAME: 'platform',
      BROKER_PASSWORD: 'platform-password',
      BROKER_ENCRYPTION_KEY: Buffer.alloc(32, 7).toString('base64'),
    });
    assert.equal(code, 1);
    assert.match(stderr, /^The etcd cluster does not answer at https:\/\/localhost:1 [^\n]*\n$/);
  });

  it('says in one line that there is no cluster', async () => {
    const { code, stderr } = await runCli(['check'], { DATA_DIR: '/nonexistent' });
    assert.equal(code, 1);
    assert.match(stderr, /^DATA_DIR \/nonexistent holds no embedded cluster[^\n]*\n$/);
  });
});
