import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { AlarmAction, AlarmType } from 'etcd3';
import type { BindingRecord } from '../../src/broker/model.js';
import { openOperation, workOf } from '../../src/broker/operations/operations.js';
import { HistoryLease } from '../../src/records/history-lease.js';
import { keys } from '../../src/records/keys.js';
import { RecordStore } from '../../src/records/record-store.js';
import { BrokerProcess } from './support/broker-process.js';
import { TestCluster } from './support/cluster.js';
import { assertOracle, credentialsWork, signsIn, takeInventory } from './support/oracle.js';

const QUOTA_BYTES = 8 * 2 ** 20;

describe('An etcd that is full', () => {
  let cluster: TestCluster;
  let broker: BrokerProcess;
  // biome-ignore lint/suspicious/noExplicitAny: credentials as they were answered
  const credentials: Record<string, any> = {};
  /** Roles of binds in which another replica hangs. */
  let hanging: string[] = [];

  before(async () => {
    cluster = await TestCluster.start({ quotaBytes: QUOTA_BYTES });
    broker = await new BrokerProcess({ env: cluster.env() }).start();
    for (const instance of ['filler', 'leaving', 'staying']) {
      assert.equal((await broker.provision(instance)).status, 201);
      for (const binding of ['one', 'two']) {
        const { status, body } = await broker.bind(instance, binding);
        assert.equal(status, 201);
        credentials[`${instance} ${binding}`] = body.credentials;
      }
    }
    hanging = [await leaveHangingBind('leaving'), await leaveHangingBind('staying')];
  });
  after(async () => {
    await broker?.dispose();
    await cluster?.stop();
  });

  /** Writes what a replica leaves that hangs in the middle of a bind: its intent, a role and a sign of life. */
  async function leaveHangingBind(instanceId: string): Promise<string> {
    const owner = 'hanging';
    const { root } = cluster;
    await root.kv.put({ key: Buffer.from(keys.owner(owner)), value: Buffer.from('{"schema":1}') });
    const records = new RecordStore(root, new HistoryLease(root), { id: owner });
    const instance = await records.readInstance(instanceId);
    assert.ok(instance);
    const { service_id, plan_id, deployment_id } = instance.value;
    const place = { instance_id: instanceId, binding_id: 'hanging' };
    const operation = openOperation('bind', place, owner);
    const name = `d-${deployment_id}-${randomBytes(8).toString('hex')}`;
    const next: BindingRecord = {
      schema: 1,
      ...place,
      state: 'binding',
      deployment_id,
      attributes: { service_id, plan_id, parameters: {} },
      role: name,
      username: name,
      key_space: '_hanging',
      key_prefix: `/d/${deployment_id}/_hanging/`,
      access: 'readwrite',
      sealed_password: 'nobody opens it',
      created_at: operation.started_at,
      work: workOf(operation),
    };
    const binding = { ...place, expected: undefined, next };
    assert.ok((await records.change({ binding, opened: operation })).done);
    await root.auth.roleAdd({ name });
    return name;
  }

  const metrics = async () => (await broker.send('GET', '/metrics')).text;

  async function eventually(what: string, holds: () => Promise<boolean>, withinMs = 5_000): Promise<void> {
    const until = performance.now() + withinMs;
    while (!(await holds())) {
      assert.ok(performance.now() < until, `${what}: not within ${withinMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async function fill(): Promise<void> {
    const tenant = cluster.connect(credentials['filler one']);
    const value = Buffer.alloc(512 * 1_024, 'x');
    try {
      // etcd looks at its size when it commits, ten times a second: on a quick disk that is after many puts.
      for (let index = 0; index < 400; index += 1) {
        await tenant.kv.put({ key: Buffer.from(`${credentials['filler one'].key_prefix}${index}`), value });
      }
      assert.fail('the cluster did not become full');
    } catch (error) {
      assert.equal((error as { kind?: string }).kind, 'no-space', (error as Error).message);
    } finally {
      tenant.close();
    }
  }

  it('is told in /ready, in the metrics and loudly in the log', async () => {
    await fill();
    await eventually('/ready is red', async () => {
      const { status, body } = await broker.send('GET', '/ready');
      return status === 503 && /NOSPACE/.test(body.checks.alarms);
    });
    await eventually('the metric is set', async () =>
      /compose_etcd_cluster_alarm\{alarm="NOSPACE"\} 1/.test(await metrics()),
    );
    await eventually('the log has an error', async () =>
      broker.logged.some(
        (line) => JSON.parse(line).level === 'error' && line.includes('DOES NOT ENFORCE PERMISSIONS'),
      ),
    );
  });

  it('takes no new instance and no new binding, and says what an operator can do', async () => {
    for (const reply of [await broker.provision('new'), await broker.bind('staying', 'new')]) {
      assert.equal(reply.status, 503);
      assert.match(reply.body.description, /operator/);
      assert.match(reply.body.description, /compact/);
      assert.match(reply.body.description, /NOSPACE/);
    }
    const { instances, bindings, users } = await takeInventory(cluster);
    assert.equal(instances.size, 3);
    assert.equal(bindings.size, 8);
    assert.equal(users.length, 6);
  });

  it('still lets go: unbind and deprovision work, also where another replica hangs in a bind', async () => {
    assert.equal((await broker.unbind('staying', 'one')).status, 200);
    assert.equal(await signsIn(cluster, credentials['staying one']), false);
    assert.equal((await broker.unbind('staying', 'one')).status, 410);
    assert.equal((await broker.unbind('staying', 'hanging')).status, 200);
    assert.equal((await broker.deprovision('leaving')).status, 200);
    assert.equal(await signsIn(cluster, credentials['leaving two']), false);
    const { instances, bindings } = await takeInventory(cluster);
    assert.deepEqual([...instances.keys()].sort(), ['filler', 'staying']);
    const { roles } = await cluster.root.auth.roleList();
    assert.deepEqual(
      roles.filter((role) => hanging.includes(role)),
      [],
    );
    assert.equal(bindings.size, 3);
  });

  it('lets a broker start, which can delete as well', async () => {
    await broker.kill('SIGKILL');
    await broker.start();
    assert.equal((await broker.unbind('filler', 'two')).status, 200);
    assert.equal((await broker.bind('staying', 'new')).status, 503);
    assert.equal((await broker.deprovision('filler')).status, 200);
  });

  it('serves again once there is room and the alarm is disarmed', async () => {
    const { maintenance, kv } = cluster.root;
    const { header } = await kv.range({ key: Buffer.from('a') });
    await kv.compact({ revision: header.revision, physical: true });
    await maintenance.defragment();
    for (const { memberID, alarm } of (await maintenance.alarm({})).alarms) {
      assert.match(String(alarm), /nospace/i);
      // The names in the protocol are the keys of the enumerations, which is what the codec takes.
      const action = AlarmAction[AlarmAction.Deactivate] as keyof typeof AlarmAction;
      await maintenance.alarm({
        action,
        memberID,
        alarm: AlarmType[AlarmType.Nospace] as keyof typeof AlarmType,
      });
    }
    await eventually(
      '/ready is green',
      async () => (await broker.send('GET', '/ready')).status === 200,
      8_000,
    );
    await eventually('the metric is cleared', async () =>
      /compose_etcd_cluster_alarm\{alarm="NOSPACE"\} 0/.test(await metrics()),
    );
    assert.equal((await broker.provision('new')).status, 201);
    const { status, body } = await broker.bind('new', 'one');
    assert.equal(status, 201);
    assert.ok(await credentialsWork(cluster, body.credentials));
    assert.ok(await credentialsWork(cluster, credentials['staying two']));
    await assertOracle(cluster);
  });
});
