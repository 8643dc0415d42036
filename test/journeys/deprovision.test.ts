import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EtcdClient } from '../../src/etcd/client.js';
import { instancePath, startTestBroker, type TestBroker } from '../support/broker.js';
import { type Credentials, connect, connectAsRoot, countKeys, fill, inventory } from '../support/tenant.js';

const QUICK_MS = 8_500;

describe('Deprovision', () => {
  let broker: TestBroker;
  let root: EtcdClient;

  before(async () => {
    broker = await startTestBroker();
    root = await connectAsRoot(broker);
  });
  after(async () => {
    root?.close();
    await broker.dispose();
  });

  /** @returns the deployment's id */
  async function instanceWithKeys(instance: string, count: number): Promise<string> {
    assert.equal((await broker.provision(instance)).status, 201);
    const bound = await broker.bind(instance, 'b', { parameters: { key_space: 'data' } });
    await fill(root, bound.body.credentials.key_prefix, count);
    const { deployment_id: deployment } = bound.body.credentials;
    assert.equal(await countKeys(root, `/d/${deployment}/`), count);
    return deployment;
  }

  async function lastState(instance: string): Promise<string> {
    for (;;) {
      const { status, body } = await broker.send('GET', `${instancePath(instance)}/last_operation`);
      if (status === 410 || body.state !== 'in progress') {
        return status === 410 ? 'gone' : body.state;
      }
      await sleep(50);
    }
  }

  it('takes bindings that are left over along: keys, roles, users and records are as before', async () => {
    // A neighbour shows that nothing of others goes along.
    await broker.provision('neighbour');
    const neighbour = await broker.bind('neighbour', 'b');
    await fill(root, neighbour.body.credentials.key_prefix, 10);
    const before = await inventory(root);
    assert.equal((await broker.provision('i')).status, 201);
    const bindings = Array.from({ length: 20 }, (_, index) => `b-${index}`);
    const bound = await Promise.all(bindings.map((binding) => broker.bind('i', binding)));
    assert.deepEqual(
      bound.map(({ status }) => status),
      bindings.map(() => 201),
    );
    for (const { body } of bound) {
      await fill(root, body.credentials.key_prefix, 10);
    }
    const during = await inventory(root);
    assert.equal(during.users.length, before.users.length + bindings.length);
    const credentials: Credentials = bound[0]?.body.credentials;
    const etcd = connect(credentials, credentials.uri);
    try {
      assert.equal(await etcd.get(`${credentials.key_prefix}key-1`).string(), 'value 1');
      assert.equal((await broker.deprovision('i')).status, 200);
      await assert.rejects(etcd.get(`${credentials.key_prefix}key-1`).exec());
      await assert.rejects(etcd.put(`${credentials.key_prefix}key-1`).value('back').exec());
    } finally {
      etcd.close();
    }
    assert.deepEqual(await inventory(root), before);
    assert.equal((await broker.deprovision('i')).status, 410);
    assert.equal((await broker.unbind('i', 'b-0')).status, 410);
  });

  it('deletes 100,000 keys while the platform waits', async () => {
    const deployment = await instanceWithKeys('large', 100_000);
    const startedAt = performance.now();
    const { status, text } = await broker.deprovision('large');
    const milliseconds = performance.now() - startedAt;
    assert.equal(status, 200, text);
    assert.ok(milliseconds < QUICK_MS, `it took ${Math.round(milliseconds)} ms`);
    report('100,000 keys, synchronously', milliseconds);
    assert.equal(await countKeys(root, `/d/${deployment}/`), 0);
  });

  it('deletes 100,000 keys after a 202', async () => {
    const deployment = await instanceWithKeys('large', 100_000);
    const startedAt = performance.now();
    const { status, body } = await broker.deprovision('large', '&accepts_incomplete=true');
    assert.equal(status, 202);
    assert.equal(typeof body.operation, 'string');
    const answered = performance.now() - startedAt;
    assert.ok(answered < 1_000, `the 202 took ${Math.round(answered)} ms`);
    assert.match(await lastState('large'), /^(gone|succeeded)$/);
    const milliseconds = performance.now() - startedAt;
    assert.ok(milliseconds < QUICK_MS, `it took ${Math.round(milliseconds)} ms`);
    report('100,000 keys, asynchronously', milliseconds);
    assert.equal(await countKeys(root, `/d/${deployment}/`), 0);
  });

  // Writing them takes longer than the rest of the tests.
  it('deletes 1,000,000 keys, and holds up nobody else meanwhile', async function () {
    if (process.env.TEST_MILLION_KEYS !== 'true') {
      this.skip();
    }
    this.timeout(300_000);
    const deployment = await instanceWithKeys('huge', 1_000_000);
    await broker.provision('other');
    const refused = await broker.deprovision('huge');
    assert.equal(refused.status, 422);
    assert.equal(refused.body.error, 'AsyncRequired');
    const startedAt = performance.now();
    assert.equal((await broker.deprovision('huge', '&accepts_incomplete=true')).status, 202);
    const slowest = { milliseconds: 0 };
    const isDone = lastState('huge').then((state) => ({ state }));
    for (let number = 0; ; number += 1) {
      const bindStartedAt = performance.now();
      assert.equal((await broker.bind('other', `b-${number}`)).status, 201);
      slowest.milliseconds = Math.max(slowest.milliseconds, performance.now() - bindStartedAt);
      const done = await Promise.race([isDone, sleep(20)]);
      if (done !== undefined) {
        assert.match(done.state, /^(gone|succeeded)$/);
        break;
      }
    }
    report('1,000,000 keys, asynchronously', performance.now() - startedAt);
    report('the slowest bind of another instance meanwhile', slowest.milliseconds);
    assert.equal(await countKeys(root, `/d/${deployment}/`), 0);
    assert.ok(slowest.milliseconds < 2_000, `a bind took ${Math.round(slowest.milliseconds)} ms`);
  });
});

function report(what: string, milliseconds: number): void {
  console.log(`      ${what}: ${Math.round(milliseconds)} ms`);
}
