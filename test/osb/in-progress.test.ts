import assert from 'node:assert/strict';
import {
  bindingPath,
  instancePath,
  type Reply,
  startTestBroker,
  type TestBroker,
} from '../support/broker.js';
import { snapshotOfCluster } from '../support/cluster.js';
import { OtherReplica } from '../support/other-replica.js';
import { assertError } from '../support/replies.js';
import { eventually } from '../support/time.js';

const ACCEPTS = 'accepts_incomplete=true';

describe('While an operation is under way', () => {
  let broker: TestBroker;
  let replica: OtherReplica;
  const operations: Record<'bind' | 'unbind' | 'deprovision' | 'halted', string> = {
    bind: '',
    unbind: '',
    deprovision: '',
    halted: '',
  };
  /** Answers that take seconds, asked for side by side. */
  let slow: Record<'bind' | 'unbind' | 'deprovision' | 'halt', Reply> &
    Record<'bindNow' | 'unbindNow' | 'deprovisionNow', Reply>;
  let seconds: number;

  before(async function () {
    this.timeout(60_000);
    broker = await startTestBroker();
    for (const id of ['i', 'deleting']) {
      assert.equal((await broker.provision(id)).status, 201);
    }
    assert.equal((await broker.bind('i', 'unbinding')).status, 201);
    replica = await OtherReplica.join(broker);
    operations.bind = await replica.beginBind('i', 'binding');
    operations.halted = await replica.beginBind('i', 'halted');
    operations.unbind = await replica.beginUnbind('i', 'unbinding');
    operations.deprovision = await replica.beginDeprovision('deleting');
    const startedAt = performance.now();
    const [bind, unbind, deprovision, halt, bindNow, unbindNow, deprovisionNow] = await Promise.all([
      broker.bind('i', 'binding', {}, `?${ACCEPTS}`),
      broker.unbind('i', 'unbinding', `&${ACCEPTS}`),
      broker.deprovision('deleting', `&${ACCEPTS}`),
      broker.unbind('i', 'halted', `&${ACCEPTS}`),
      broker.bind('i', 'binding'),
      broker.unbind('i', 'unbinding'),
      broker.deprovision('deleting'),
    ]);
    seconds = (performance.now() - startedAt) / 1_000;
    slow = { bind, unbind, deprovision, halt, bindNow, unbindNow, deprovisionNow };
  });
  after(async () => {
    await replica?.leave();
    await broker.dispose();
  });

  it('rule 1: every answer comes within 10 s', () => {
    assert.ok(seconds < 10, `within 10 s expected, it took ${seconds}`);
  });

  it('rule 7: a bind that is sent again is 202 with the same operation, and without credentials', () => {
    assert.equal(slow.bind.status, 202, slow.bind.text);
    assert.deepEqual(slow.bind.body, { operation: operations.bind });
  });

  it('rule 11: an unbind that is sent again is 202 with the same operation', () => {
    assert.equal(slow.unbind.status, 202, slow.unbind.text);
    assert.deepEqual(slow.unbind.body, { operation: operations.unbind });
  });

  it('rule 11: a deprovision that is sent again is 202 with the same operation', () => {
    assert.equal(slow.deprovision.status, 202, slow.deprovision.text);
    assert.deepEqual(slow.deprovision.body, { operation: operations.deprovision });
  });

  it('rules 8, 11 and 17: without accepts_incomplete it is 422 ConcurrencyError in the end', () => {
    for (const reply of [slow.bindNow, slow.unbindNow, slow.deprovisionNow]) {
      assertError(reply, 422, 'ConcurrencyError');
    }
  });

  it('rule 11: a delete during creation is accepted, with an operation of its own', () => {
    assert.equal(slow.halt.status, 202, slow.halt.text);
    assert.match(slow.halt.body.operation, /^unbind-/);
  });

  it('rule 11: the creation that was stopped has failed', async () => {
    const path = `${bindingPath('i', 'halted')}/last_operation?operation=${operations.halted}`;
    const reply = await broker.send('GET', path);
    assert.equal(reply.status, 200);
    assert.equal(reply.body.state, 'failed');
    assert.ok(reply.body.description.length > 0);
    assert.equal('instance_usable' in reply.body, false, 'rule 14');
  });

  it('rule 12: a binding can not be fetched while it is made or removed: 404', async () => {
    for (const id of ['binding', 'halted', 'unbinding']) {
      assertError(await broker.send('GET', bindingPath('i', id)), 404);
    }
  });

  it('rule 12: an instance that is being deleted is 422 ConcurrencyError for GET, PUT, PATCH and bind', async () => {
    const body = { service_id: broker.service.id };
    for (const reply of [
      await broker.send('GET', instancePath('deleting')),
      await broker.provision('deleting'),
      await broker.send('PATCH', instancePath('deleting'), { body }),
      await broker.bind('deleting', 'b'),
    ]) {
      assertError(reply, 422, 'ConcurrencyError');
    }
  });

  it('rule 11: a bind with the id of a binding that is being removed is 422 ConcurrencyError', async () => {
    assertError(await broker.bind('i', 'unbinding'), 422, 'ConcurrencyError');
  });

  it('rule 7: a bind with the id of one that is being made, but with other attributes, is 409', async () => {
    assertError(await broker.bind('i', 'binding', { bind_resource: { app_guid: 'other' } }), 409);
  });

  it('rule 15: ConcurrencyError has the words that the Kubernetes client knows', async () => {
    const { body } = await broker.provision('deleting');
    assert.equal(
      body.description,
      'The Service Broker does not support concurrent requests that mutate the same resource.',
    );
  });

  it('rule 13: last_operation is "in progress", with a description and Retry-After', async () => {
    for (const [path, operation] of [
      [instancePath('deleting'), operations.deprovision],
      [bindingPath('i', 'binding'), operations.bind],
      [bindingPath('i', 'unbinding'), operations.unbind],
      [bindingPath('i', 'halted'), slow.halt.body.operation],
    ] as const) {
      const ids = `service_id=${broker.service.id}&plan_id=${broker.plan.id}`;
      for (const query of ['', `?operation=${operation}`, `?${ids}&operation=${operation}`]) {
        const reply = await broker.send('GET', `${path}/last_operation${query}`);
        assert.equal(reply.status, 200, reply.text);
        assert.equal(reply.body.state, 'in progress');
        assert.ok(reply.body.description.length > 0);
        assert.match(reply.headers['retry-after'] ?? '', /^[1-9]\d*$/);
      }
      assert.match(operation, /^[A-Za-z0-9._~-]+$/, 'rule 13: safe in a URL');
    }
  });

  it('other bindings of the instance are made and removed meanwhile', async () => {
    assert.equal((await broker.bind('i', 'meanwhile')).status, 201);
    assert.equal((await broker.unbind('i', 'meanwhile')).status, 200);
    const body = { service_id: broker.service.id };
    assert.equal((await broker.send('PATCH', instancePath('i'), { body })).status, 200);
  });

  it('rule 13: when the replica dies, all of it comes to its end and stays readable', async () => {
    await replica.leave();
    await eventually(async () => {
      for (const path of [
        `${instancePath('deleting')}/last_operation?operation=${operations.deprovision}`,
        `${bindingPath('i', 'binding')}/last_operation?operation=${operations.bind}`,
        `${bindingPath('i', 'unbinding')}/last_operation?operation=${operations.unbind}`,
        `${bindingPath('i', 'halted')}/last_operation?operation=${slow.halt.body.operation}`,
      ]) {
        for (const query of [path, path.replace(/\?.*/, '')]) {
          const reply = await broker.send('GET', query);
          assert.equal(reply.status, 200);
          assert.equal(reply.body.state, 'succeeded', `${query}: ${reply.text}`);
          assert.equal(reply.headers['retry-after'], undefined);
        }
      }
    });
    assert.equal((await broker.send('GET', bindingPath('i', 'binding'))).status, 200);
    assert.equal((await broker.bind('i', 'binding')).status, 200);
    for (const id of ['halted', 'unbinding']) {
      assertError(await broker.unbind('i', id), 410);
    }
    assertError(await broker.deprovision('deleting'), 410);
    assert.equal((await broker.unbind('i', 'binding')).status, 200);
    assert.equal((await broker.deprovision('i')).status, 200);
    const { users, roles, records } = await snapshotOfCluster(broker);
    assert.deepEqual([users, roles], [['root'], ['root']], 'nothing may be left behind');
    assert.deepEqual(
      // A link to the dashboard goes by itself.
      records.filter((record) => !/\/operations\/|\/dashboard-links\//.test(record)),
      [],
    );
  });
});
