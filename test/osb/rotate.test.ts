import assert from 'node:assert/strict';
import { bindingPath, startTestBroker, type TestBroker } from '../support/broker.js';
import { assertError, assertNothingChanges } from '../support/replies.js';
import { asTenant } from '../support/tenant.js';

describe('Rotation of a binding', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker();
    for (const id of ['i', 'other']) {
      assert.equal((await broker.provision(id)).status, 201);
    }
    assert.equal((await broker.bind('i', 'old')).status, 201);
    assert.equal((await broker.bind('other', 'elsewhere')).status, 201);
  });
  after(() => broker.dispose());

  it('rule 20: the catalog says that bindings can be rotated', () => {
    assert.equal(broker.plan.bindingRotatable, true);
  });

  it('rule 20: predecessor_binding_id alone is enough, and both work side by side on the same keys', async () => {
    const old = (await broker.bind('i', 'old')).body.credentials;
    const body = { predecessor_binding_id: 'old' };
    const reply = await broker.send('PUT', bindingPath('i', 'new'), { body });
    assert.equal(reply.status, 201, reply.text);
    const fresh = reply.body.credentials;
    assert.notEqual(fresh.password, old.password);
    assert.notEqual(fresh.username, old.username);
    assert.equal(fresh.key_prefix, old.key_prefix);
    await asTenant(old, (client, prefix) => client.put(`${prefix}k`).value('v').exec());
    await asTenant(fresh, async (client, prefix) => {
      assert.equal(await client.get(`${prefix}k`).string(), 'v');
      await client.put(`${prefix}k`).value('w').exec();
    });
    await asTenant(old, async (client, prefix) => {
      assert.equal(await client.get(`${prefix}k`).string(), 'w');
    });
    const again = await broker.send('PUT', bindingPath('i', 'new'), { body });
    assert.equal(again.status, 200);
    assert.deepEqual(again.body, reply.body);
  });

  it('rule 20: the successor outlives its predecessor, and is found again afterwards', async () => {
    assert.equal((await broker.bind('i', 'first')).status, 201);
    const rotated = await broker.bind('i', 'second', { predecessor_binding_id: 'first' });
    assert.equal(rotated.status, 201);
    assert.equal((await broker.unbind('i', 'first')).status, 200);
    await asTenant(rotated.body.credentials, (client, prefix) => client.put(`${prefix}k`).value('v').exec());
    const again = await broker.bind('i', 'second', { predecessor_binding_id: 'first' });
    assert.equal(again.status, 200);
    assert.deepEqual(again.body, rotated.body);
  });

  it('rule 20: the parameters of the predecessor are inherited', async () => {
    const parameters = { access: 'readonly', key_space: 'shared' };
    assert.equal((await broker.bind('i', 'reader', { parameters })).status, 201);
    const rotated = await broker.bind('i', 'reader-2', { predecessor_binding_id: 'reader' });
    assert.equal(rotated.status, 201);
    const fetched = await broker.send('GET', bindingPath('i', 'reader-2'));
    assert.deepEqual(fetched.body.parameters, parameters);
    await asTenant(rotated.body.credentials, async (client, prefix) => {
      assert.equal(await client.get(`${prefix}k`).string(), null);
      await assert.rejects(client.put(`${prefix}k`).value('v').exec(), /permission denied/);
    });
  });

  it('another binding of the same application has the same keys and the same access', async () => {
    const app = { bind_resource: { app_guid: 'rotating' } };
    const first = await broker.bind('i', 'app-1', app);
    assert.equal(first.status, 201, first.text);
    await asTenant(first.body.credentials, (client, prefix) => client.put(`${prefix}k`).value('v').exec());
    const second = await broker.bind('i', 'app-2', app);
    assert.equal(second.status, 201, second.text);
    assert.notEqual(second.body.credentials.username, first.body.credentials.username);
    assert.equal((await broker.unbind('i', 'app-1')).status, 200);
    await asTenant(second.body.credentials, async (client, prefix) => {
      assert.equal(await client.get(`${prefix}k`).string(), 'v');
    });
    const again = await broker.bind('i', 'app-2', app);
    assert.deepEqual([again.status, again.body], [200, second.body]);
    const another = await broker.bind('i', 'app-3', { bind_resource: { app_guid: 'another' } });
    assert.notEqual(another.body.credentials.key_prefix, second.body.credentials.key_prefix);
  });

  it('rule 20: a binding that expires says when, in ISO 8601 with a fraction and Z, and renews before', async () => {
    const startedAt = Date.now();
    const reply = await broker.bind('i', 'expiring', { parameters: { expires_in: '1h' } });
    assert.equal(reply.status, 201, reply.text);
    const { expires_at, renew_before } = reply.body.metadata;
    for (const time of [expires_at, renew_before]) {
      assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
    }
    assert.ok(Math.abs(Date.parse(expires_at) - startedAt - 3_600_000) < 30_000, expires_at);
    assert.ok(renew_before <= expires_at && Date.parse(renew_before) > startedAt);
    const fetched = await broker.send('GET', bindingPath('i', 'expiring'));
    assert.deepEqual(fetched.body.metadata, reply.body.metadata);
    const bare = await broker.bind('i', 'lasting');
    assert.equal('expires_at' in (bare.body.metadata ?? {}), false);
  });

  for (const [what, fields] of [
    ['that does not exist', { predecessor_binding_id: 'none' }],
    ['of another instance', { predecessor_binding_id: 'elsewhere' }],
    ['that is the new one', { predecessor_binding_id: 'bad' }],
    ['that is a number', { predecessor_binding_id: 5 }],
    ['with new parameters', { predecessor_binding_id: 'old', parameters: { access: 'readonly' } }],
    ['with an unknown plan', { predecessor_binding_id: 'old', plan_id: 'unknown' }],
  ] as const) {
    it(`rules 9 and 20: a predecessor ${what} is 400 and nothing is created`, async () => {
      await assertNothingChanges(broker, async () => {
        assertError(await broker.bind('i', 'bad', { ...fields }), 400);
      });
    });
  }

  it('rules 9 and 20: a predecessor in an instance that does not exist is a 4xx and nothing is created', async () => {
    await assertNothingChanges(broker, async () => {
      const body = { predecessor_binding_id: 'old' };
      assertError(await broker.send('PUT', bindingPath('none', 'bad'), { body }), 400);
    });
  });
});
