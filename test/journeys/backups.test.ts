import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { dataName } from '../../src/backups/manifest.js';
import { instancePath, type Reply, startTestBroker, type TestBroker } from '../support/broker.js';
import { runCli } from '../support/cli.js';
import { asTenant, type Credentials } from '../support/tenant.js';

const ASYNC = '?accepts_incomplete=true';

describe('Backups of instances', () => {
  let broker: TestBroker;
  let count = 0;
  /** Of this test. */
  let instance: string;

  before(async () => {
    broker = await startTestBroker({ PORTAL: 'on' });
  });
  after(() => broker?.dispose());
  beforeEach(() => {
    count += 1;
    instance = `instance-${count}`;
  });

  const run = async (...args: string[]) => runCli(['backup', ...args], { DATA_DIR: broker.dataDir });
  const now = async (id = instance) => {
    const { code, stdout, stderr } = await run('now', id, '--json');
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as { backup_id: string; deployment_id: string; keys: number };
  };
  const bind = async (id: string, binding: string, parameters = {}): Promise<Credentials> => {
    const reply = await broker.bind(id, binding, { parameters });
    assert.equal(reply.status, 201, reply.text);
    return reply.body.credentials;
  };
  const put = (credentials: Credentials, entries: Record<string, string>) =>
    asTenant(credentials, async (client) => {
      for (const [key, value] of Object.entries(entries)) {
        await client.put(key).value(value);
      }
    });
  const all = (credentials: Credentials) => asTenant(credentials, (client) => client.getAll().strings());
  const update = (id: string, parameters: object, query = ASYNC) =>
    broker.send('PATCH', `${instancePath(id)}${query}`, {
      body: { service_id: broker.service.id, parameters },
    });

  /** @returns the last answer of last_operation */
  async function ended(id: string, operation: string): Promise<Reply['body']> {
    for (;;) {
      const { body } = await broker.send('GET', `${instancePath(id)}/last_operation?operation=${operation}`);
      if (body.state !== 'in progress') {
        return body;
      }
      await sleep(20);
    }
  }

  it('are restored into a new instance, as Compose’s users did it', async () => {
    await broker.provision(instance);
    const [own, shared] = [
      await bind(instance, 'own'),
      await bind(instance, 'shared', { key_space: 'config' }),
    ];
    await put(own, { '/example/words/hello': 'world' });
    await put(shared, { a: '1', b: '2' });
    const { backup_id, keys } = await now();
    assert.equal(keys, 3);
    await put(shared, { a: 'changed' });

    const parameters = { source_service_instance_id: instance, backup_id };
    const refused = await broker.provision('restored', { parameters });
    assert.deepEqual([refused.status, refused.body.error], [422, 'AsyncRequired']);
    const accepted = await broker.provision('restored', { parameters }, ASYNC);
    assert.equal(accepted.status, 202, accepted.text);
    // The same request again joins it, and nobody may use the instance yet.
    const again = await broker.provision('restored', { parameters }, ASYNC);
    assert.ok(again.status === 202 ? again.body.operation === accepted.body.operation : again.status === 200);
    assert.deepEqual(await ended('restored', accepted.body.operation), {
      state: 'succeeded',
      description: `restored from the backup ${backup_id}`,
    });
    assert.equal((await broker.provision('restored', { parameters }, ASYNC)).status, 200);

    const { stdout } = await run('verify', instance, backup_id, '--json');
    const spaces: { name: string; restored_as: string }[] = JSON.parse(stdout).key_spaces;
    const named = spaces.find(({ name }) => name.startsWith('_'))?.restored_as as string;
    assert.deepEqual(await all(await bind('restored', 'c', { key_space: 'config' })), { a: '1', b: '2' });
    assert.deepEqual(await all(await bind('restored', 'o', { key_space: named })), {
      '/example/words/hello': 'world',
    });
    assert.deepEqual(await all(await bind('restored', 'new')), {});
    assert.deepEqual(await all(shared), { a: 'changed', b: '2' });
  });

  it('are those of the own space only, and of what was asked for', async () => {
    await broker.provision(instance);
    await put(await bind(instance, 'b'), { a: '1' });
    const { backup_id } = await now();
    for (const [fields, message] of [
      [{ space_guid: 'another' }, /name no backup of a service instance in this space/],
      [{ organization_guid: 'another' }, /in this space/],
      [{ parameters: { source_service_instance_id: instance, backup_id: '0'.repeat(24) } }, /in this space/],
      [{ parameters: { source_service_instance_id: 'none', backup_id } }, /in this space/],
      [{ parameters: { backup_id } }, /belong together/],
      [{ parameters: { source_service_instance_id: instance } }, /belong together/],
      [{ parameters: { source_service_instance_id: instance, backup_id: '../../x' } }, /backup_id must/],
    ] as const) {
      const parameters = { source_service_instance_id: instance, backup_id };
      const { status, body } = await broker.provision('never', { parameters, ...fields }, ASYNC);
      assert.equal(status, 400, JSON.stringify(fields));
      assert.match(body.description, message);
    }
    assert.equal((await broker.deprovision('never')).status, 410);
  });

  it('are made when an instance is deleted, and bring it back', async () => {
    await broker.provision(instance);
    await put(await bind(instance, 'b', { key_space: 'config' }), { a: '1', b: '2' });
    assert.equal((await broker.deprovision(instance)).status, 200);
    const listed = await run('list', instance, '--json');
    const [last] = JSON.parse(listed.stdout).backups;
    assert.deepEqual([last.kind, last.keys], ['final', 2]);
    const parameters = { source_service_instance_id: instance, backup_id: 'latest' };
    const { body } = await broker.provision(`${instance}-again`, { parameters }, ASYNC);
    assert.equal((await ended(`${instance}-again`, body.operation)).state, 'succeeded');
    const back = await bind(`${instance}-again`, 'b', { key_space: 'config' });
    assert.deepEqual(await all(back), { a: '1', b: '2' });
    // One without keys leaves none.
    await broker.provision('empty');
    await broker.deprovision('empty');
    assert.deepEqual(JSON.parse((await run('list', 'empty', '--json')).stdout).backups, []);
  });

  it('that are damaged make the creation fail, and leave nothing', async () => {
    await broker.provision(instance);
    await put(await bind(instance, 'b'), { a: '1' });
    const { backup_id, deployment_id } = await now();
    const file = path.join(broker.dataDir, 'backups', dataName(deployment_id, backup_id));
    const bytes = await readFile(file);
    bytes[80] = (bytes[80] as number) ^ 1;
    await writeFile(file, bytes);
    const parameters = { source_service_instance_id: instance, backup_id };
    const { body } = await broker.provision('broken', { parameters }, ASYNC);
    assert.deepEqual(await ended('broken', body.operation), {
      state: 'failed',
      description:
        'The backup can not be restored. The backup was changed since it was made: its chunk 1 does not open.',
    });
    assert.equal((await broker.deprovision('broken')).status, 410);
    // In place: nothing was touched.
    const inPlace = await update(instance, { restore: { backup_id } });
    assert.equal((await ended(instance, inPlace.body.operation)).state, 'failed');
    assert.deepEqual(await all(await bind(instance, 'after')), {});
    assert.equal((await run('verify', instance, backup_id)).code, 1);
  });

  it('are restored in place when that is asked for; bindings stay, and what was there is kept', async () => {
    await broker.provision(instance);
    const credentials = await bind(instance, 'b');
    await put(credentials, { a: '1', b: '2' });
    const { backup_id } = await now();
    await put(credentials, { a: 'changed', c: 'new' });
    assert.equal((await update(instance, { restore: { backup_id } }, '')).body.error, 'AsyncRequired');
    assert.equal((await update(instance, { restore: { backup_id: '0'.repeat(24) } })).status, 400);
    const accepted = await update(instance, { restore: { backup_id } });
    assert.equal(accepted.status, 202, accepted.text);
    assert.equal((await ended(instance, accepted.body.operation)).state, 'succeeded');
    assert.deepEqual(await all(credentials), { a: '1', b: '2' });
    const [kept] = JSON.parse((await run('list', instance, '--json')).stdout).backups;
    assert.equal(kept.kind, 'before_restore');
    const back = await update(instance, { restore: { backup_id: kept.backup_id } });
    assert.equal((await ended(instance, back.body.operation)).state, 'succeeded');
    assert.deepEqual(await all(credentials), { a: 'changed', b: '2', c: 'new' });
    const { body } = await broker.send('GET', instancePath(instance));
    assert.deepEqual(body.parameters, {});
  });

  it('are restored into an existing instance by the operator', async () => {
    await broker.provision(instance);
    await put(await bind(instance, 'b', { key_space: 'config' }), { a: '1' });
    const { backup_id } = await now();
    await broker.provision('other');
    const other = await bind('other', 'b', { key_space: 'config' });
    await put(other, { gone: 'afterwards' });
    const refused = await run('restore', instance, backup_id, '--into', 'other');
    assert.equal(refused.code, 1, 'nobody could be asked');
    const { code, stdout, stderr } = await run('restore', instance, backup_id, '--into', 'other', '--yes');
    assert.deepEqual([code, stdout, stderr], [0, `succeeded: restored from the backup ${backup_id}\n`, '']);
    assert.deepEqual(await all(other), { a: '1' });
    assert.match(
      (await run('restore', instance, backup_id, '--into', 'nowhere', '--yes')).stderr,
      /no instance "nowhere"/,
    );
  });

  it('are restored in place while applications go on: they wait, and lose nothing that came after', async function () {
    this.timeout(60_000);
    await broker.provision(instance);
    const credentials = await bind(instance, 'b');
    await put(
      credentials,
      Object.fromEntries(Array.from({ length: 3_000 }, (_, at) => [`k/${at}`, String(at)])),
    );
    const { backup_id } = await now();
    await asTenant(credentials, async (client) => {
      const accepted = await update(instance, { restore: { backup_id } });
      const written: number[] = [];
      let isOver = false;
      const writing = (async () => {
        for (let at = 0; !isOver; at += 1) {
          await client.put(`new/${at}`).value('v');
          written.push(at);
        }
      })();
      assert.equal((await ended(instance, accepted.body.operation)).state, 'succeeded');
      const count = written.length;
      isOver = true;
      await writing;
      const found = await client.getAll().prefix('k/').keys();
      assert.equal(found.length, 3_000);
      // What was written after the end is there.
      assert.equal(await client.get(`new/${written.at(-1)}`).string(), 'v');
      assert.ok(count < 200, `${count} puts while it was restored`);
      console.log(`      ${count} puts were answered before it was done`);
    });
  });

  it('are listed, verified, downloaded, printed and deleted by commands', async () => {
    await broker.provision(instance);
    const credentials = await bind(instance, 'b', { key_space: 'config' });
    await put(credentials, { text: 'line\nbreak' });
    await asTenant(credentials, async (client) => {
      await client.put('bytes').value(Buffer.from([0xff, 0]));
    });
    const { backup_id } = await now();
    assert.match(
      (await run('list', instance)).stdout,
      new RegExp(`^${backup_id}  \\d{4}-.*on_demand.*2 keys`),
    );
    const exported =
      '{"key_space":"config","key":"bytes","value_base64":"/wA="}\n{"key_space":"config","key":"text","value":"line\\nbreak"}\n';
    assert.equal((await run('export', instance, 'latest')).stdout, exported);
    const file = path.join(broker.dataDir, 'downloaded');
    // A try before this one has come half way.
    const { size } = JSON.parse((await run('list', instance, '--json')).stdout).backups[0];
    assert.equal((await run('download', instance, backup_id, '--output', file)).code, 0);
    const whole = await readFile(file);
    assert.equal(whole.length, size);
    await writeFile(`${file}.${backup_id}.part`, whole.subarray(0, 100));
    await rm(file);
    assert.equal((await run('download', instance, backup_id, '--output', file)).code, 0);
    assert.ok((await readFile(file)).equals(whole));
    assert.match(
      (await run('verify', '--file', file)).stdout,
      /key space "config": 2 keys\nThe backup is whole: 2 keys/,
    );
    assert.equal((await run('export', '--file', file)).stdout, exported);
    await writeFile(path.join(broker.dataDir, 'keys.jsonl'), exported);
    await broker.provision(`${instance}-imported`);
    const other = await bind(`${instance}-imported`, 'b');
    await writeFile(path.join(broker.dataDir, 'ca.pem'), Buffer.from(other.ca_certificate_base64, 'base64'));
    const imported = await run(
      'import',
      ...['--file', path.join(broker.dataDir, 'keys.jsonl'), '--endpoints', new URL(other.uri).origin],
      ...['--user', `${other.username}:${other.password}`, '--ca', path.join(broker.dataDir, 'ca.pem')],
      ...['--prefix', 'copied/', '--key-space', 'config'],
    );
    assert.deepEqual([imported.code, imported.stdout, imported.stderr], [0, '2 keys were put.\n', '']);
    assert.equal((await all(other))['copied/text'], 'line\nbreak');
    assert.match((await run('tidy')).stdout, /^0 backups were found/);
    assert.equal((await run('delete', instance, backup_id)).code, 1, 'nobody could be asked');
    assert.equal((await run('delete', instance, backup_id, '--yes')).code, 0);
    assert.match((await run('verify', instance, backup_id)).stderr, /has no such backup\. "backup list/);
  });

  it('say what is wrong with a command', async () => {
    for (const [args, message] of [
      [[], /A command is missing/],
      [['burn'], /"burn" is not a command/],
      [['now'], /id of an instance is missing/],
      [['verify', 'i'], /id of a backup is missing/],
      [['verify', 'i', 'x'], /"x" is no backup/],
      [['restore', 'i', 'latest'], /--into is missing/],
      [['list', '--into', 'i'], /--into belongs to restore/],
      [['import', '--file', 'x'], /--endpoints is missing/],
      [['import', '--endpoints', 'x'], /--file is missing/],
      [['list', '--prefix', 'x'], /--prefix belongs to import/],
      [['list', 'i', 'j'], /"j" is one argument too many/],
    ] as const) {
      const { code, stderr } = await run(...args);
      assert.equal(code, 2, args.join(' '));
      assert.match(stderr, message);
    }
    assert.match((await run('now', 'none')).stderr, /There is no instance "none"/);
    assert.equal((await run('--help')).code, 0);
  });
});
