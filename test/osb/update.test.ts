import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BrokerParts } from '../../src/broker/parts.js';
import { InstanceCache } from '../../src/broker/requests/instance-cache.js';
import { Turns } from '../../src/broker/requests/turns.js';
import { update as updateInstance } from '../../src/broker/requests/update.js';
import { loadCatalog } from '../../src/catalog/catalog.js';
import { readConfig } from '../../src/config/config.js';
import { instancePath, startTestBroker, type TestBroker } from '../support/broker.js';
import { OtherReplica } from '../support/other-replica.js';
import { assertError, assertNothingChanges } from '../support/replies.js';

const SMALL = '0d6e4a55-5b5f-4c0e-9f6a-3a2f3a8a1b01';
const FREE = '0d6e4a55-5b5f-4c0e-9f6a-3a2f3a8a1b03';
const FIXED = '0d6e4a55-5b5f-4c0e-9f6a-3a2f3a8a1b02';

describe('PATCH /v2/service_instances/:instance_id', () => {
  let broker: TestBroker;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-test-'));
    const file = path.join(folder, 'catalog.json');
    await writeFile(file, JSON.stringify(catalogOfFourPlans()));
    broker = await startTestBroker({ CATALOG: file });
    assert.equal((await broker.provision('i', { parameters: { size: 1, kept: 'yes' } })).status, 201);
    assert.equal((await broker.provision('fixed', { plan_id: FIXED })).status, 201);
  });
  after(async () => {
    await broker.dispose();
    await rm(folder, { recursive: true });
  });

  const update = (id: string, fields: Record<string, unknown>, query = '') =>
    broker.send('PATCH', `${instancePath(id)}${query}`, {
      body: { service_id: broker.service.id, ...fields },
    });
  const fetch = async (id: string) => (await broker.send('GET', instancePath(id))).body;

  it('rule 10: without plan_id and parameters, both stay', async () => {
    const before = await fetch('i');
    const reply = await update('i', { context: { instance_name: 'renamed' } });
    assert.equal(reply.status, 200);
    assert.deepEqual(Object.keys(reply.body), ['dashboard_url']);
    assert.equal(typeof reply.body.dashboard_url, 'string');
    assert.deepEqual(await fetch('i'), before);
    assert.equal((await update('i', {})).status, 200);
    assert.deepEqual(await fetch('i'), before);
    const empty = { plan_id: '', parameters: null, context: {}, maintenance_info: {}, previous_values: {} };
    assert.equal((await update('i', empty)).status, 200);
    assert.deepEqual(await fetch('i'), before);
  });

  it("rule 15a: Compose's parameters are 400, which says what they need", async () => {
    const reply = await update('i', { parameters: { db_version: '3.5' } });
    assertError(reply, 400);
    assert.match(reply.body.description, /^Bad parameters: db_version can not be chosen.*leave it out/);
  });

  it('a whitelist is refused where no portals enforce it, unless it is empty', async () => {
    const entries = [{ ip: '192.0.2.0/24', description: 'office' }];
    assertError(await update('i', { parameters: { whitelist: entries } }), 400);
    assertError(await broker.provision('listed', { parameters: { whitelist: entries } }), 400);
  });

  it('rule 10: parameters that are given replace those of the same name', async () => {
    assert.equal((await update('i', { parameters: { size: 2 } })).status, 200);
    assert.deepEqual((await fetch('i')).parameters, { size: 2, kept: 'yes' });
    assert.equal((await update('i', { parameters: {} })).status, 200);
    assert.deepEqual((await fetch('i')).parameters, { size: 2, kept: 'yes' });
  });

  it('rule 10: a change of plan is 200, there and back, and the same again is 200', async () => {
    for (const [plan_id, version] of [
      [SMALL, '2.0.0'],
      [SMALL, '2.0.0'],
      [FREE, undefined],
      [broker.plan.id, broker.plan.maintenanceInfo?.version],
    ]) {
      const previous_values = { plan_id: (await fetch('i')).plan_id, service_id: broker.service.id };
      assert.equal((await update('i', { plan_id, previous_values }, '?accepts_incomplete=true')).status, 200);
      const now = await fetch('i');
      assert.equal(now.plan_id, plan_id);
      assert.equal(now.maintenance_info?.version, version, 'the maintenance version is that of the plan');
    }
  });

  it('rule 10: maintenance_info of the catalog is taken and shown', async () => {
    const version = broker.plan.maintenanceInfo?.version;
    assert.equal((await update('i', { maintenance_info: { version } })).status, 200);
    assert.equal((await fetch('i')).maintenance_info.version, version);
  });

  for (const [what, fields, status, error] of [
    ['an unknown plan', { plan_id: 'unknown' }, 400],
    ['an unknown service', { service_id: 'unknown' }, 400],
    ['no service', { service_id: undefined }, 400],
    ['bad parameters', { parameters: { size: 'large' } }, 400],
    ['unknown parameters', { parameters: { colour: 'red' } }, 400],
    ['parameters of another type', { parameters: 'size' }, 400],
    ['good parameters and an unknown plan', { parameters: { size: 3 }, plan_id: 'unknown' }, 400],
    ['a good plan and bad parameters', { plan_id: SMALL, parameters: { size: 'large' } }, 400],
    ['a number as plan_id', { plan_id: 1 }, 400],
    ['a context of another type', { context: [] }, 400],
    ['previous_values of another type', { previous_values: 'x' }, 400],
    ['another version', { maintenance_info: { version: '9.9.9' } }, 422, 'MaintenanceInfoConflict'],
    [
      'another version and good parameters',
      { maintenance_info: { version: '9.9.9' }, parameters: { size: 3 } },
      422,
      'MaintenanceInfoConflict',
    ],
  ] as const) {
    it(`rules 9 and 10: ${what} on update is ${status} and the instance stays as it is`, async () => {
      await assertNothingChanges(broker, async () => {
        assertError(await update('i', { ...fields }), status, error);
      });
    });
  }

  it('rules 10 and 14: a plan that can not be left is 422, which says that there is no use in repeating', async () => {
    await assertNothingChanges(broker, async () => {
      const reply = await update('fixed', { plan_id: SMALL });
      assertError(reply, 422, 'PlanChangeNotSupported');
      assert.equal(reply.body.update_repeatable, false);
      assert.notEqual(reply.body.instance_usable, false);
    });
    // Naming the plan that it has is no change.
    assert.equal((await update('fixed', { plan_id: FIXED })).status, 200);
  });

  it('rule 14: other failures say nothing of usable and repeatable', async () => {
    for (const reply of [
      await update('i', { plan_id: 'unknown' }),
      await update('none', {}),
      await broker.provision('i', { space_guid: 'another' }),
      await broker.bind('none', 'b'),
    ]) {
      assert.equal('instance_usable' in reply.body, false, reply.text);
      assert.equal('update_repeatable' in reply.body, false, reply.text);
    }
  });

  it('rule 9: an update of what does not exist is 404 and makes nothing', async () => {
    await assertNothingChanges(broker, async () => {
      assertError(await update('none', {}), 404);
    });
  });

  it('150 at once, and 30 at another replica, all end well and none is lost', async () => {
    const other = await OtherReplica.join(broker);
    try {
      const parts = {
        records: other.records,
        cache: new InstanceCache(),
        session: other,
      } as unknown as BrokerParts;
      const turns = new Turns();
      const catalog = loadCatalog(path.join(folder, 'catalog.json'));
      const here = Array.from({ length: 150 }, (_, size) => update('i', { parameters: { size } }));
      const there = Array.from({ length: 30 }, () =>
        updateInstance(parts, catalog, turns, {
          instance_id: 'i',
          service_id: broker.service.id,
          hasPortals: false,
          acceptsIncomplete: false,
          parameters: { kept: 'always' },
        }),
      );
      for (const { status, text } of await Promise.all(here)) {
        assert.equal(status, 200, text);
      }
      await Promise.all(there);
      const { parameters } = await fetch('i');
      assert.equal(parameters.kept, 'always');
      assert.ok(parameters.size < 150);
    } finally {
      await other.leave();
    }
  });

  it('binds made before and after a change of plan both work', async () => {
    assert.equal((await broker.provision('moving')).status, 201);
    assert.equal((await broker.bind('moving', 'before')).status, 201);
    assert.equal((await update('moving', { plan_id: SMALL })).status, 200);
    assertError(await broker.bind('moving', 'old-plan'), 400);
    assert.equal((await broker.bind('moving', 'after', { plan_id: SMALL })).status, 201);
    // The platform may still name the old plan when it deletes.
    for (const id of ['before', 'after']) {
      assert.equal((await broker.unbind('moving', id)).status, 200);
    }
    assert.equal((await broker.deprovision('moving')).status, 200);
  });
});

/** The catalog with parameters for instances and three plans more, one of which can not be left. */
function catalogOfFourPlans(): unknown {
  const catalog = JSON.parse(readFileSync(readConfig({}).catalogPath, 'utf8'));
  const [service] = catalog.services;
  const [plan] = service.plans;
  for (const use of ['create', 'update']) {
    plan.schemas.service_instance[use].parameters.properties = {
      size: { type: 'integer', description: 'How large it is.' },
      kept: { type: 'string', description: 'What stays.' },
    };
  }
  service.plans = [
    plan,
    { ...plan, id: SMALL, name: 'Small', maintenance_info: { ...plan.maintenance_info, version: '2.0.0' } },
    { ...plan, id: FREE, name: 'Free', maintenance_info: undefined },
    { ...plan, id: FIXED, name: 'Fixed', plan_updateable: false },
  ];
  return catalog;
}
