import assert from 'node:assert/strict';
import { bindingPath, instancePath, startTestBroker, type TestBroker } from '../support/broker.js';
import { snapshotOfCluster, whileEtcdIsFrozen } from '../support/cluster.js';
import { assertError, assertNothingChanges } from '../support/replies.js';
import { eventually } from '../support/time.js';

describe('PUT …/service_bindings/:binding_id', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker();
    assert.equal((await broker.provision('i')).status, 201);
    assert.equal((await broker.bind('i', 'there', { bind_resource: { app_guid: 'app' } })).status, 201);
  });
  after(() => broker.dispose());

  it('rules 16 and 17: 201 without app_guid and without accepts_incomplete', async () => {
    const bind_resource = { credential_client_id: 'a-client' };
    const context = { platform: 'cloudfoundry', organization_guid: 'o', space_guid: 's' };
    const reply = await broker.bind('i', 'service-key', { bind_resource, context });
    assert.equal(reply.status, 201);
    assert.equal((await broker.bind('i', 'bare')).status, 201);
  });

  it('rule 18: the same binding id with the same attributes is 200 with the same credentials', async () => {
    const fields = { bind_resource: { app_guid: 'app' } };
    const first = await broker.bind('i', 'there', fields);
    await assertNothingChanges(broker, async () => {
      for (const query of ['', '?accepts_incomplete=true']) {
        const again = await broker.bind(
          'i',
          'there',
          { ...fields, parameters: {}, context: { a: 1 } },
          query,
        );
        assert.equal(again.status, 200);
        assert.deepEqual(again.body, first.body);
      }
    });
  });

  for (const [what, fields] of [
    ['another app', { bind_resource: { app_guid: 'other' } }],
    ['no app', {}],
    ['other parameters', { bind_resource: { app_guid: 'app' }, parameters: { access: 'readonly' } }],
    ['a predecessor', { bind_resource: { app_guid: 'app' }, predecessor_binding_id: 'bare' }],
  ] as const) {
    it(`rule 18: the same binding id with ${what} is 409, and the binding stays as it is`, async () => {
      await assertNothingChanges(broker, async () => {
        assertError(await broker.bind('i', 'there', { ...fields }), 409);
      });
    });
  }

  it('optional fields that are sent empty count as absent', async () => {
    const { body } = await broker.bind('i', 'bare');
    await assertNothingChanges(broker, async () => {
      for (const fields of [
        { app_guid: '', predecessor_binding_id: '' },
        {
          app_guid: null,
          bind_resource: null,
          parameters: null,
          context: null,
          predecessor_binding_id: null,
        },
        { bind_resource: {}, parameters: {}, context: {} },
        { bind_resource: { app_guid: '', credential_client_id: '', route: '', backup_agent: null } },
      ]) {
        const reply = await broker.bind('i', 'bare', fields);
        assert.equal(reply.status, 200, `${JSON.stringify(fields)} ${reply.text}`);
        assert.deepEqual(reply.body, body);
      }
    });
  });

  it('endpoints goes only to platforms that speak 2.15 or later', async () => {
    for (const [version, isThere] of [
      ['2.13', false],
      ['2.14', false],
      ['2.15', true],
      ['2.99', true],
    ] as const) {
      const headers = { 'x-broker-api-version': version };
      for (const reply of [
        await broker.send('PUT', bindingPath('i', 'bare'), { body: broker.bindBody(), headers }),
        await broker.send('GET', bindingPath('i', 'bare'), { headers }),
      ]) {
        assert.equal(reply.status, 200);
        assert.equal('endpoints' in reply.body, isThere, version);
        assert.equal(typeof reply.body.credentials, 'object');
      }
    }
  });

  it('rule 19: endpoints lists the host and port, with the port as a text', async () => {
    const { endpoints, credentials } = (await broker.bind('i', 'bare')).body;
    const { hostname, port } = new URL(credentials.uri);
    assert.deepEqual(endpoints, [{ host: hostname, ports: [port], protocol: 'tcp' }]);
  });

  it('rule 21: credentials is an object, and there is nothing that the catalog does not require', async () => {
    const { body } = await broker.bind('i', 'bare');
    assert.equal(typeof body.credentials, 'object');
    for (const field of ['syslog_drain_url', 'route_service_url', 'volume_mounts', 'operation']) {
      assert.equal(field in body, false, field);
    }
  });

  for (const [what, fields] of [
    ['unknown parameters', { parameters: { nonsense: 1 } }],
    ['a key space with a slash', { parameters: { key_space: 'a/b' } }],
    ['a key space of two dots', { parameters: { key_space: '..' } }],
    ["another binding's own key space", { parameters: { key_space: '_0123456789abcdef' } }],
    ['a key space of 64 characters', { parameters: { key_space: 'a'.repeat(64) } }],
    ['an empty key space', { parameters: { key_space: '' } }],
    ['a key space with a line feed', { parameters: { key_space: 'a\n' } }],
    ['access that there is not', { parameters: { access: 'root' } }],
    ['parameters that are a list', { parameters: [] }],
    ['a bind_resource that is a text', { bind_resource: 'app' }],
    ['an app_guid that is a number', { app_guid: 1 }],
    ['an unknown service', { service_id: 'unknown' }],
    ['an unknown plan', { plan_id: 'unknown' }],
    ['no service_id', { service_id: undefined }],
    ['no plan_id', { plan_id: undefined }],
    ['a service_id that is a list', { service_id: ['x'] }],
  ] as const) {
    it(`rules 8 and 9: ${what} on bind is 400 and nothing is created`, async () => {
      await assertNothingChanges(broker, async () => {
        assertError(await broker.bind('i', 'bad', { ...fields }), 400);
      });
    });
  }

  it('rule 9: a bind to what does not exist is 404 and creates nothing', async () => {
    await assertNothingChanges(broker, async () => {
      assertError(await broker.bind('none', 'b'), 404);
    });
  });

  it('rule 9: a bind to an instance that is gone is 404, whatever the broker remembers', async () => {
    assert.equal((await broker.provision('gone')).status, 201);
    assert.equal((await broker.bind('gone', 'b')).status, 201);
    assert.equal((await broker.deprovision('gone')).status, 200);
    await assertNothingChanges(broker, async () => {
      assertError(await broker.bind('gone', 'b'), 404);
    });
  });

  it('twenty binds at once on one instance all succeed, each with a user of its own', async () => {
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, index) => broker.bind('i', `parallel-${index}`)),
    );
    for (const { status, text } of replies) {
      assert.equal(status, 201, text);
    }
    const users = new Set(replies.map(({ body }) => body.credentials.username));
    assert.equal(users.size, 20);
    const snapshot = await snapshotOfCluster(broker);
    for (const user of users) {
      assert.ok(snapshot.users.includes(user));
    }
    const gone = await Promise.all(
      Array.from({ length: 20 }, (_, index) => broker.unbind('i', `parallel-${index}`)),
    );
    assert.ok(gone.every(({ status }) => status === 200));
  });

  it('rule 18: the same bind five times at once gives the same credentials and exactly one user', async () => {
    const before = await snapshotOfCluster(broker);
    const replies = await Promise.all(Array.from({ length: 5 }, () => broker.bind('i', 'same')));
    assert.deepEqual(replies.map(({ status }) => status).sort(), [200, 200, 200, 200, 201]);
    assert.equal(new Set(replies.map(({ text }) => text)).size, 1);
    const after = await snapshotOfCluster(broker);
    const added = (what: 'users' | 'roles') => after[what].filter((name) => !before[what].includes(name));
    assert.deepEqual(added('users'), [replies[0]?.body.credentials.username]);
    assert.equal(added('roles').length, 1);
  });

  it('rule 18: binds at once that differ: one wins, the others are 409', async () => {
    const replies = await Promise.all(
      ['one', 'two', 'three'].map((app_guid) => broker.bind('i', 'differ', { bind_resource: { app_guid } })),
    );
    assert.deepEqual(replies.map(({ status }) => status).sort(), [201, 409, 409]);
  });

  it('rule 11: binds and a delete of the instance at once leave nothing behind', async () => {
    assert.equal((await broker.provision('ending')).status, 201);
    const before = await snapshotOfCluster(broker);
    const [deleted, ...binds] = await Promise.all([
      broker.deprovision('ending'),
      ...Array.from({ length: 8 }, (_, index) => broker.bind('ending', `b${index}`)),
    ]);
    assert.equal(deleted?.status, 200);
    for (const { status, text } of binds) {
      assert.ok([201, 404, 422, 500].includes(status), text);
    }
    const after = await snapshotOfCluster(broker);
    assert.deepEqual(after.users, before.users);
    assert.deepEqual(after.roles, before.roles);
    assert.equal(
      after.records.filter((record) => /(instances|bindings|open)\/ending/.test(record)).length,
      0,
    );
  });

  it('rules 1 and 15a: while etcd does not answer, every endpoint says so in time', async function () {
    this.timeout(30_000);
    const ids = `service_id=${broker.service.id}&plan_id=${broker.plan.id}`;
    const startedAt = performance.now();
    const replies = await whileEtcdIsFrozen(broker, () =>
      Promise.all([
        broker.provision('frozen'),
        broker.bind('i', 'slow', {}, '?accepts_incomplete=true'),
        broker.send('PATCH', instancePath('i'), { body: { service_id: broker.service.id } }),
        broker.send('GET', instancePath('i')),
        broker.send('GET', `${instancePath('i')}/last_operation`),
        broker.send('GET', bindingPath('i', 'there')),
        broker.send('DELETE', `${instancePath('i')}?${ids}`),
        broker.send('DELETE', `${bindingPath('i', 'there')}?${ids}`),
      ]),
    );
    const seconds = (performance.now() - startedAt) / 1_000;
    assert.ok(seconds < 10, `answers within 10 s expected, it took ${seconds}`);
    for (const reply of replies) {
      assertError(reply, 503);
      assert.ok(Number(reply.headers['retry-after']) > 0);
    }
    // What was begun may still come to its end; the same request again finds or makes the binding.
    const bound = await eventually(async () => {
      const reply = await broker.bind('i', 'slow', {}, '?accepts_incomplete=true');
      assert.ok([200, 201].includes(reply.status), reply.text);
      return reply;
    });
    assert.ok((await snapshotOfCluster(broker)).users.includes(bound.body.credentials.username));
    assert.equal((await broker.unbind('i', 'slow')).status, 200);
  });
});
