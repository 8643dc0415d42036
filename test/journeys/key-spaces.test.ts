import assert from 'node:assert/strict';
import type { Etcd3 } from 'etcd3';
import type { EtcdClient } from '../../src/etcd/client.js';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { type Credentials, connect, connectAsRoot, countKeys } from '../support/tenant.js';

const DENIED = /permission denied/;

interface Bound {
  credentials: Credentials;
  etcd: Etcd3;
}

describe('Key spaces', () => {
  let broker: TestBroker;
  let root: EtcdClient;
  const clients: Etcd3[] = [];

  before(async () => {
    broker = await startTestBroker();
    root = await connectAsRoot(broker);
    for (const instance of ['one', 'two']) {
      assert.equal((await broker.provision(instance)).status, 201);
    }
  });
  after(async () => {
    root?.close();
    await broker.dispose();
  });
  afterEach(() => {
    for (const client of clients.splice(0)) {
      client.close();
    }
  });

  async function bind(
    instance: string,
    binding: string,
    parameters: Record<string, unknown>,
    fields: Record<string, unknown> = {},
  ): Promise<Bound> {
    const { status, body } = await broker.bind(instance, binding, { parameters, ...fields });
    assert.equal(status, 201, JSON.stringify(body));
    return { credentials: body.credentials, etcd: use(body.credentials) };
  }

  function use(credentials: Credentials): Etcd3 {
    const etcd = connect(credentials, credentials.uri);
    clients.push(etcd);
    return etcd;
  }

  /** Every way to reach a key or a range is refused. */
  async function assertShutOut({ credentials, etcd }: Bound, prefix: string): Promise<void> {
    const key = `${prefix}word`;
    const before = await root.kv.range({ key: Buffer.from(key) });
    await assert.rejects(etcd.get(key).exec(), DENIED, `get ${key}`);
    await assert.rejects(etcd.getAll().prefix(prefix).keys(), DENIED, `range ${prefix}`);
    await assert.rejects(etcd.getAll().prefix(prefix).count(), DENIED, `count ${prefix}`);
    await assert.rejects(etcd.put(key).value('stolen').exec(), DENIED, `put ${key}`);
    await assert.rejects(etcd.delete().key(key).exec(), DENIED, `delete ${key}`);
    await assert.rejects(etcd.delete().prefix(prefix).exec(), DENIED, `delete range ${prefix}`);
    await assert.rejects(
      etcd.if(key, 'Version', '==', 0).then(etcd.put(key).value('stolen')).else(etcd.get(key)).commit(),
      DENIED,
      `txn on ${key}`,
    );
    // etcd3 takes seconds for the next watch after a refused one, so each has a client of its own.
    await assert.rejects(use(credentials).watch().prefix(prefix).create(), DENIED, `watch ${prefix}`);
    const after = await root.kv.range({ key: Buffer.from(key) });
    assert.deepEqual(after.kvs, before.kvs);
  }

  it('two bindings that name one key space share its keys and hear of each other', async () => {
    const writer = await bind('one', 'shared-1', { key_space: 'shared' });
    const reader = await bind('one', 'shared-2', { key_space: 'shared' });
    const prefix = writer.credentials.key_prefix;
    assert.equal(prefix, `/d/${writer.credentials.deployment_id}/shared/`);
    assert.equal(reader.credentials.key_prefix, prefix);
    assert.notEqual(reader.credentials.username, writer.credentials.username);
    const watcher = await reader.etcd.watch().prefix(prefix).create();
    const heard = new Promise<string>((resolve) =>
      watcher.on('put', (kv) => resolve(kv.value.toString('utf8'))),
    );
    await writer.etcd.put(`${prefix}word`).value('hello');
    assert.equal(await heard, 'hello');
    await watcher.cancel();
    assert.equal(await reader.etcd.get(`${prefix}word`).string(), 'hello');
    assert.equal(
      await reader.etcd
        .delete()
        .prefix(prefix)
        .exec()
        .then((r) => Number(r.deleted)),
      1,
    );
  });

  it('a binding that names none has one of its own, which no name can ask for', async () => {
    const own = await bind('one', 'own', {});
    const space = own.credentials.key_prefix.split('/')[3] ?? '';
    const asked = await broker.bind('one', 'thief', { parameters: { key_space: space } });
    assert.equal(asked.status, 400);
    const other = await bind('one', 'other', {});
    await assertShutOut(other, own.credentials.key_prefix);
  });

  it("every call on another key space's or another instance's keys is refused", async () => {
    const mine = await bind('one', 'mine', { key_space: 'mine' });
    const yours = await bind('one', 'yours', { key_space: 'yours' });
    const theirs = await bind('two', 'theirs', { key_space: 'mine' });
    for (const { credentials, etcd } of [mine, yours, theirs]) {
      await etcd.put(`${credentials.key_prefix}word`).value('private');
    }
    await assertShutOut(mine, yours.credentials.key_prefix);
    await assertShutOut(mine, theirs.credentials.key_prefix);
    await assertShutOut(mine, '/_broker/v1/');
    await assertShutOut(mine, `/d/${mine.credentials.deployment_id}/`);
    await assertShutOut(mine, '/d/');
    await assertShutOut(mine, '/');
    assert.equal(await mine.etcd.get(`${mine.credentials.key_prefix}word`).string(), 'private');
    const transaction = mine.etcd
      .if(`${mine.credentials.key_prefix}word`, 'Value', '==', 'private')
      .then(mine.etcd.put(`${yours.credentials.key_prefix}word`).value('stolen'))
      .commit();
    await assert.rejects(transaction, DENIED);
  });

  it('a key space whose name begins with that of another is not reached from it', async () => {
    const a = await bind('one', 'beside-a', { key_space: 'a' });
    const ab = await bind('one', 'beside-ab', { key_space: 'ab' });
    await ab.etcd.put(`${ab.credentials.key_prefix}word`).value('private');
    await assertShutOut(a, ab.credentials.key_prefix);
    await assertShutOut(ab, a.credentials.key_prefix);
    const bare = a.credentials.key_prefix.slice(0, -1);
    await assert.rejects(a.etcd.get(bare).exec(), DENIED);
    await assert.rejects(a.etcd.getAll().prefix(bare).keys(), DENIED);
    const justAfter = `${bare}0`; // where the range of the key space ends
    await assert.rejects(a.etcd.put(justAfter).value('x').exec(), DENIED);
  });

  it('a read-only binding reads and watches, and is refused every change', async () => {
    const writer = await bind('one', 'rw', { key_space: 'readable' });
    const reader = await bind('one', 'ro', { key_space: 'readable', access: 'readonly' });
    const key = `${writer.credentials.key_prefix}word`;
    await writer.etcd.put(key).value('hello');
    assert.equal(await reader.etcd.get(key).string(), 'hello');
    await (await reader.etcd.watch().key(key).create()).cancel();
    await assert.rejects(reader.etcd.put(key).value('x').exec(), DENIED);
    await assert.rejects(reader.etcd.delete().key(key).exec(), DENIED);
    await assert.rejects(reader.etcd.delete().prefix(writer.credentials.key_prefix).exec(), DENIED);
    await assert.rejects(
      reader.etcd.if(key, 'Version', '>', 0).then(reader.etcd.put(key).value('x')).commit(),
      DENIED,
    );
    await assert.rejects(
      reader.etcd.if(key, 'Version', '>', 0).then(reader.etcd.delete().key(key)).commit(),
      DENIED,
    );
    assert.equal(await writer.etcd.get(key).string(), 'hello');
  });

  it('rotation: both credentials work in the same key space, then the successor goes on alone', async () => {
    const first = await bind('one', 'first', {});
    const key = `${first.credentials.key_prefix}word`;
    await first.etcd.put(key).value('from the first');
    const second = await bind('one', 'second', {}, { predecessor_binding_id: 'first' });
    assert.equal(second.credentials.key_prefix, first.credentials.key_prefix);
    assert.notEqual(second.credentials.password, first.credentials.password);
    assert.equal(await second.etcd.get(key).string(), 'from the first');
    await first.etcd.put(key).value('from the first again');
    await second.etcd.put(key).value('from the second');
    assert.equal(await first.etcd.get(key).string(), 'from the second');
    assert.equal((await broker.unbind('one', 'first')).status, 200);
    await assert.rejects(first.etcd.get(key).exec());
    await assert.rejects(use(first.credentials).get(key).exec());
    assert.equal(await second.etcd.get(key).string(), 'from the second');
    await second.etcd.put(key).value('from the second alone');
    // The chain goes on from the successor.
    const third = await bind('one', 'third', {}, { predecessor_binding_id: 'second' });
    assert.equal(await third.etcd.get(key).string(), 'from the second alone');
  });

  it('data outlives its bindings, until the instance is deleted', async () => {
    assert.equal((await broker.provision('kept')).status, 201);
    const before = await bind('kept', 'before', { key_space: 'data' });
    const { key_prefix: prefix, deployment_id: deployment } = before.credentials;
    await before.etcd.put(`${prefix}word`).value('hello');
    assert.equal((await broker.unbind('kept', 'before')).status, 200);
    const later = await bind('kept', 'later', { key_space: 'data' });
    assert.equal(await later.etcd.get(`${prefix}word`).string(), 'hello');
    assert.equal((await broker.unbind('kept', 'later')).status, 200);
    assert.equal(await countKeys(root, `/d/${deployment}/`), 1);
    assert.equal((await broker.deprovision('kept')).status, 200);
    assert.equal(await countKeys(root, `/d/${deployment}/`), 0);
  });
});
