import assert from 'node:assert/strict';
import { bindingPath, instancePath, startTestBroker, type TestBroker } from '../support/broker.js';
import { assertError, assertNothingChanges } from '../support/replies.js';
import { rootConnection } from '../support/root-connection.js';

describe('GET of instances, bindings and operations', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker();
    assert.equal((await broker.provision('i')).status, 201);
    assert.equal((await broker.bind('i', 'b', { parameters: { access: 'readonly' } })).status, 201);
  });
  after(() => broker.dispose());

  it('rule 12: an instance has its service, plan, parameters and a dashboard_url that is a text', async () => {
    const { status, body } = await broker.send('GET', instancePath('i'));
    assert.equal(status, 200);
    const { dashboard_url, ...rest } = body;
    assert.deepEqual(rest, {
      service_id: broker.service.id,
      plan_id: broker.plan.id,
      parameters: {},
      maintenance_info: { version: broker.plan.maintenanceInfo?.version },
    });
    assert.equal(new URL(dashboard_url).origin, broker.url);
    assert.equal(dashboard_url, (await broker.provision('i')).body.dashboard_url);
  });

  it('rule 12: a binding has the credentials of its bind, and its parameters', async () => {
    const bound = await broker.bind('i', 'b', { parameters: { access: 'readonly' } });
    const { status, body } = await broker.send('GET', bindingPath('i', 'b'));
    assert.equal(status, 200);
    assert.deepEqual(body, { ...bound.body, parameters: { access: 'readonly' } });
  });

  it('rule 12: hints in the query string are taken', async () => {
    const hints = `?service_id=${broker.service.id}&plan_id=${broker.plan.id}`;
    assert.equal((await broker.send('GET', instancePath('i') + hints)).status, 200);
    assert.equal((await broker.send('GET', bindingPath('i', 'b') + hints)).status, 200);
  });

  it('rules 12 and 13: what does not exist is 404, also where the other half of it does', async () => {
    assert.equal((await broker.provision('other')).status, 201);
    await assertNothingChanges(broker, async () => {
      for (const path of [
        instancePath('none'),
        `${instancePath('none')}/last_operation`,
        bindingPath('i', 'none'),
        `${bindingPath('i', 'none')}/last_operation`,
        bindingPath('other', 'b'),
        `${bindingPath('other', 'b')}/last_operation`,
        bindingPath('none', 'b'),
        `${instancePath('i')}/last_operation?operation=provision-0000000000000000`,
        `${instancePath('other')}/last_operation?operation=bind-..%2F..%2Fb`,
      ]) {
        assertError(await broker.send('GET', path), 404);
      }
    });
  });

  it('rule 13: a repeated operation is 400, an empty one counts as absent', async () => {
    for (const path of [instancePath('i'), bindingPath('i', 'b')]) {
      assertError(await broker.send('GET', `${path}/last_operation?operation=a&operation=b`), 400);
      const [empty, absent] = [
        await broker.send('GET', `${path}/last_operation?operation=`),
        await broker.send('GET', `${path}/last_operation`),
      ];
      assert.equal(empty.status, 200);
      assert.equal(empty.text, absent.text);
    }
  });

  it('rule 13: what was made at once has succeeded, and so has each later operation', async () => {
    const body = { service_id: broker.service.id };
    for (const path of [instancePath('i'), bindingPath('i', 'b')]) {
      const reply = await broker.send('GET', `${path}/last_operation`);
      assert.equal(reply.status, 200);
      assert.equal(reply.body.state, 'succeeded');
      assert.deepEqual(Object.keys(reply.body).sort(), ['description', 'state']);
      assert.equal((await broker.send('PATCH', instancePath('i'), { body })).status, 200);
    }
  });

  it('rule 13: a deletion that has ended stays readable as 200 succeeded', async () => {
    assert.equal((await broker.provision('deleted')).status, 201);
    assert.equal((await broker.bind('deleted', 'b')).status, 201);
    assert.equal((await broker.unbind('deleted', 'b')).status, 200);
    assert.equal((await broker.deprovision('deleted')).status, 200);
    for (const path of [instancePath('deleted'), bindingPath('deleted', 'b')]) {
      for (let time = 0; time < 3; time += 1) {
        const reply = await broker.send('GET', `${path}/last_operation`);
        assert.deepEqual([reply.status, reply.body.state], [200, 'succeeded']);
      }
      assertError(await broker.send('GET', path), 404);
    }
  });

  it('rule 13: 410 for a deletion that nobody remembers, when what it was to delete is gone', async () => {
    const [deprovision, unbind] = ['deprovision-0000000000000000', 'unbind-0000000000000000'];
    assertError(
      await broker.send('GET', `${instancePath('gone')}/last_operation?operation=${deprovision}`),
      410,
    );
    assertError(
      await broker.send('GET', `${bindingPath('i', 'gone')}/last_operation?operation=${unbind}`),
      410,
    );
    assertError(
      await broker.send('GET', `${instancePath('i')}/last_operation?operation=${deprovision}`),
      404,
    );
    assertError(await broker.send('GET', `${bindingPath('i', 'b')}/last_operation?operation=${unbind}`), 404);
  });

  it('rule 13: what exists has succeeded still when its operation is forgotten', async () => {
    const root = await rootConnection(broker);
    try {
      const [first, end] = ['/_broker/v1/operations/', '/_broker/v1/operations0'];
      await root.kv.deleteRange({ key: Buffer.from(first), range_end: Buffer.from(end) });
    } finally {
      root.close();
    }
    for (const path of [instancePath('i'), bindingPath('i', 'b')]) {
      const reply = await broker.send('GET', `${path}/last_operation`);
      assert.deepEqual([reply.status, reply.body?.state], [200, 'succeeded'], reply.text);
    }
    assertError(await broker.send('GET', `${instancePath('deleted')}/last_operation`), 404);
  });
});
