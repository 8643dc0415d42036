import assert from 'node:assert/strict';
import type { BrokerParts } from '../../src/broker/parts.js';
import { InstanceCache } from '../../src/broker/requests/instance-cache.js';
import { Scaler } from '../../src/broker/upkeep/scaler.js';
import type { EtcdClient } from '../../src/etcd/client.js';
import { HistoryLease } from '../../src/records/history-lease.js';
import { RecordStore } from '../../src/records/record-store.js';
import { catalog, instancePath, startTestBroker, type TestBroker } from '../support/broker.js';
import { rootConnection } from '../support/root-connection.js';
import { asTenant, type Credentials } from '../support/tenant.js';

const MB = 2 ** 20;

describe('Units', () => {
  let broker: TestBroker;
  let root: EtcdClient;

  before(async () => {
    broker = await startTestBroker({ PORTAL: 'on' });
    root = await rootConnection(broker);
  });
  after(async () => {
    root?.close();
    await broker?.dispose();
  });

  const update = (id: string, parameters: object) =>
    broker.send('PATCH', instancePath(id), { body: { service_id: broker.service.id, parameters } });
  /** What portals say that an instance may hold. */
  async function quotaOf(credentials: Credentials): Promise<number> {
    await asTenant(credentials, async (client) => {
      await client.put('k').value('v');
    });
    const { text } = await broker.send('GET', '/metrics');
    const line = new RegExp(
      `^compose_etcd_instance_quota_bytes\\{[^}]*deployment="${credentials.deployment_id}"[^}]*\\} (\\d+)`,
      'm',
    );
    return Number(line.exec(text)?.[1]);
  }
  async function eventually(expected: number, credentials: Credentials): Promise<void> {
    for (const until = performance.now() + 10_000; ; ) {
      const found = await quotaOf(credentials);
      if (found === expected || performance.now() > until) {
        assert.equal(found, expected);
        return;
      }
    }
  }

  it('are what an instance may hold, from its start and after an update, at once', async () => {
    assert.equal((await broker.provision('i', { parameters: { units: 3 } })).status, 201);
    const credentials: Credentials = (await broker.bind('i', 'b')).body.credentials;
    await eventually(3 * 256 * MB, credentials);
    assert.equal((await update('i', { units: 16 })).status, 200);
    await eventually(16 * 256 * MB, credentials);
    const { body } = await broker.send('GET', instancePath('i'));
    assert.deepEqual(body.parameters, { units: 16 });
  });

  it('are added when they are nearly used up, where that was asked for', async () => {
    await broker.provision('growing', { parameters: { auto_scaling: { max_units: 3 } } });
    const credentials: Credentials = (await broker.bind('growing', 'b')).body.credentials;
    const store = new RecordStore(root, new HistoryLease(root), { id: 'none' });
    let scaled = 0;
    const scaler = new Scaler({
      broker: {
        records: store,
        cache: new InstanceCache(),
        session: { id: 'none', assertOwns: () => undefined },
        log: { info: () => undefined, warn: () => undefined, error: () => undefined },
      } as unknown as BrokerParts,
      catalog,
      instances: () => store.instances(),
      observe: () => {
        scaled += 1;
      },
    });
    const key = Buffer.from(`/_broker/v1/portal/usage/scans/${credentials.deployment_id}`);
    for (const [held, units] of [
      [200, undefined],
      [240, 2],
      [240, 2],
      [2_000, 3],
    ] as const) {
      await root.kv.put({ key, value: Buffer.from(`7 ${held * MB}`) });
      await scaler.look();
      const { body } = await broker.send('GET', instancePath('growing'));
      assert.equal(body.parameters.units, units, `${held} MB`);
    }
    assert.equal(scaled, 2);
    const operation = await store.readOperation('growing', undefined, undefined);
    assert.deepEqual([operation?.kind, operation?.state], ['update', 'succeeded']);
    await eventually(3 * 256 * MB, credentials);
  });

  it('are bounded by the plan, also when the plan changes', async () => {
    const enterprise = broker.service.plans.find(({ name }) => name === 'Enterprise');
    const body = { service_id: broker.service.id, plan_id: enterprise?.id };
    const change = (id: string, changes: object) =>
      broker.send('PATCH', instancePath(id), { body: { service_id: broker.service.id, ...changes } });
    await broker.provision('big');
    const tooMany = await change('big', { parameters: { units: 40 } });
    assert.deepEqual([tooMany.status, /units/.test(tooMany.body.description)], [400, true]);
    assert.equal((await change('big', { ...body, parameters: { units: 40 } })).status, 200);
    const credentials: Credentials = (await broker.bind('big', 'b', { plan_id: enterprise?.id })).body
      .credentials;
    await eventually(40 * 256 * MB, credentials);
    const back = await change('big', { plan_id: broker.service.plans[0]?.id });
    assert.deepEqual([back.status, /units/.test(back.body.description)], [400, true]);
    const smaller = { plan_id: broker.service.plans[0]?.id, parameters: { units: 16 } };
    assert.equal((await change('big', smaller)).status, 200);
    await eventually(16 * 256 * MB, credentials);
  });

  it('can not be fewer than the instance holds', async () => {
    await broker.provision('full', { parameters: { units: 4 } });
    const credentials: Credentials = (await broker.bind('full', 'b')).body.credentials;
    const key = Buffer.from(`/_broker/v1/portal/usage/scans/${credentials.deployment_id}`);
    // As a portal has counted it.
    await root.kv.put({ key, value: Buffer.from(`7 ${600 * MB}`) });
    const refused = await update('full', { units: 2 });
    assert.equal(refused.status, 400);
    assert.match(
      refused.body.description,
      /^The service instance holds 600\.0 MB, which is more than the 512\.0 MB that it would have\. Ask for at least 3 units/,
    );
    assert.equal((await update('full', { units: 3 })).status, 200);
    assert.equal((await update('full', { units: 5 })).status, 200);
    assert.equal((await update('full', { units: 17 })).status, 400);
  });
});
