import assert from 'node:assert/strict';
import { instancePath, startTestBroker, type TestBroker } from '../support/broker.js';
import { snapshotOfCluster } from '../support/cluster.js';
import { assertError, assertNothingChanges } from '../support/replies.js';

describe('PUT /v2/service_instances/:instance_id', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker();
    assert.equal((await broker.provision('there', { context: { platform: 'cloudfoundry' } })).status, 201);
  });
  after(() => broker.dispose());

  it('rule 7: 201 for a new instance, with a dashboard_url', async () => {
    const reply = await broker.provision('new');
    assert.equal(reply.status, 201);
    assert.deepEqual(Object.keys(reply.body), ['dashboard_url']);
    assert.ok(reply.body.dashboard_url.startsWith(`${broker.url}/dashboard/`));
  });

  it('rule 7: 200 with the same answer for the same request again, and nothing is made', async () => {
    const first = await broker.provision('again', { parameters: {} });
    assert.equal(first.status, 201);
    await assertNothingChanges(broker, async () => {
      for (const fields of [
        {},
        { parameters: {} },
        { parameters: null },
        { context: { other: 'context' } },
      ]) {
        const again = await broker.provision('again', fields, '?accepts_incomplete=true');
        assert.equal(again.status, 200);
        assert.deepEqual(again.body, first.body);
      }
    });
  });

  for (const field of ['organization_guid', 'space_guid']) {
    it(`rule 7: 409 for the same id with another ${field}, and the instance stays as it is`, async () => {
      await assertNothingChanges(broker, async () => {
        assertError(await broker.provision('there', { [field]: 'another' }), 409);
      });
    });
  }

  it('rule 1, rule 7: it is done at once where the platform takes 202, and where it does not', async () => {
    for (const query of ['?accepts_incomplete=true', '?accepts_incomplete=false', '']) {
      const startedAt = performance.now();
      assert.equal((await broker.provision(`at-once${query}`, {}, query)).status, 201);
      assert.ok(performance.now() - startedAt < 5_000);
    }
  });

  for (const [what, fields] of [
    ['unknown parameters', { parameters: { nonsense: 1 } }],
    ['parameters that are an array', { parameters: [] }],
    ['parameters that are a text', { parameters: 'x' }],
    ['a context that is a text', { context: 'x' }],
    ['maintenance_info that is a text', { maintenance_info: '1.0.0' }],
    ['maintenance_info without a version', { maintenance_info: { description: 'x' } }],
    ['a version that is a number', { maintenance_info: { version: 1 } }],
    ['an unknown service', { service_id: 'unknown' }],
    ['an unknown plan', { plan_id: 'unknown' }],
    ['the plan for the service', { service_id: 'X', plan_id: 'X' }],
    ['no service_id', { service_id: undefined }],
    ['no plan_id', { plan_id: undefined }],
    ['no organization_guid', { organization_guid: undefined }],
    ['no space_guid', { space_guid: undefined }],
    ['an empty service_id', { service_id: '' }],
    ['an empty space_guid', { space_guid: '' }],
    ['a number as organization_guid', { organization_guid: 5 }],
    ['an object as plan_id', { plan_id: {} }],
  ] as const) {
    it(`rules 8 and 9: ${what} on provision is 400 and nothing is created`, async () => {
      await assertNothingChanges(broker, async () => {
        assertError(await broker.provision('bad', { ...fields }), 400);
      });
      assertError(await broker.send('GET', instancePath('bad')), 404);
    });
  }

  for (const [name, value, text] of [
    ['db_version', '3.2.13', /db_version can not be chosen: .*leave it out/],
    ['cluster_id', 'c', /cluster_id named a cluster of your own/],
  ] as const) {
    it(`rules 8 and 15a: Compose's parameter ${name} is 400, which says what it needs`, async () => {
      await assertNothingChanges(broker, async () => {
        const reply = await broker.provision('bad', { parameters: { [name]: value, nonsense: 1 } });
        assertError(reply, 400);
        assert.match(reply.body.description, text);
        assert.match(reply.body.description, /nonsense is not known/);
      });
    });
  }

  it('optional fields that are sent empty count as absent', async () => {
    for (const [status, fields] of [
      [201, { parameters: null, context: null, maintenance_info: {} }],
      [200, {}],
      [200, { parameters: {}, context: {}, maintenance_info: null }],
      [200, { parameters: '', context: '', maintenance_info: { version: '', description: '' } }],
    ] as const) {
      assert.equal((await broker.provision('empty', fields)).status, status, JSON.stringify(fields));
    }
  });

  for (const value of ['yes', '1', 'TRUE', '']) {
    it(`rule 9: accepts_incomplete=${value} is 400 and nothing is created`, async () => {
      await assertNothingChanges(broker, async () => {
        assertError(await broker.provision('bad', {}, `?accepts_incomplete=${value}`), 400);
      });
    });
  }

  it('rule 8: another maintenance_info.version is 422 MaintenanceInfoConflict and nothing is created', async () => {
    await assertNothingChanges(broker, async () => {
      const reply = await broker.provision('bad', { maintenance_info: { version: '9.9.9' } });
      assertError(reply, 422, 'MaintenanceInfoConflict');
    });
  });

  it("the catalog's maintenance_info is taken, whatever else it says", async () => {
    const version = broker.plan.maintenanceInfo?.version;
    const maintenance_info = { version, description: 'other words', more: 1 };
    assert.equal((await broker.provision('maintained', { maintenance_info })).status, 201);
    const fetched = await broker.send('GET', instancePath('maintained'));
    assert.equal(fetched.body.maintenance_info.version, version);
  });

  it('fields that the specification does not know are ignored', async () => {
    assert.equal((await broker.provision('more', { x_more: { deep: [1] }, __proto: 1 })).status, 201);
  });

  it('ten of the same at once: one 201, nine 200, one instance', async () => {
    const before = await snapshotOfCluster(broker);
    const replies = await Promise.all(Array.from({ length: 10 }, () => broker.provision('race')));
    const statuses = replies.map(({ status }) => status).sort();
    assert.deepEqual(statuses, [...Array(9).fill(200), 201]);
    assert.equal(new Set(replies.map(({ text }) => text)).size, 1);
    const after = await snapshotOfCluster(broker);
    const added = after.records.filter((record) => !before.records.includes(record));
    assert.equal(added.filter((record) => record.includes('/instances/')).length, 1);
    assert.equal(added.filter((record) => record.includes('/deployments/')).length, 1);
  });

  it('two that differ at once: one 201, one 409', async () => {
    const replies = await Promise.all([
      broker.provision('conflict', { space_guid: 'one' }),
      broker.provision('conflict', { space_guid: 'two' }),
    ]);
    assert.deepEqual(replies.map(({ status }) => status).sort(), [201, 409]);
  });
});
