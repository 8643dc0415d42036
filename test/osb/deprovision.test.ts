import assert from 'node:assert/strict';
import { bindingPath, instancePath, startTestBroker, type TestBroker } from '../support/broker.js';
import { snapshotOfCluster } from '../support/cluster.js';
import { assertError, assertNothingChanges } from '../support/replies.js';
import { rootConnection } from '../support/root-connection.js';
import { asTenant, writeKeys } from '../support/tenant.js';
import { eventually } from '../support/time.js';

describe('DELETE /v2/service_instances/:instance_id', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker();
    assert.equal((await broker.provision('there')).status, 201);
  });
  after(() => broker.dispose());

  const countKeys = async () => {
    const root = await rootConnection(broker);
    try {
      const range = { key: Buffer.from('/d/'), range_end: Buffer.from('/d0'), count_only: true };
      return Number((await root.kv.range(range)).count);
    } finally {
      root.close();
    }
  };

  it('rules 5 and 11: 200 with {} when it is deleted, and 410 from then on', async () => {
    assert.equal((await broker.provision('short')).status, 201);
    const reply = await broker.deprovision('short', '&accepts_incomplete=true');
    assert.deepEqual([reply.status, reply.text], [200, '{}']);
    await assertNothingChanges(broker, async () => {
      assertError(await broker.deprovision('short'), 410);
      assertError(await broker.deprovision('short', '&accepts_incomplete=true'), 410);
    });
  });

  it('rules 9 and 11: 410 for what never existed, and nothing is made by it', async () => {
    await assertNothingChanges(broker, async () => {
      for (const query of ['', '&accepts_incomplete=true', '&accepts_incomplete=false']) {
        assertError(await broker.deprovision('never', query), 410);
      }
    });
  });

  it('rule 9: the service of another is 400 and deletes nothing', async () => {
    await assertNothingChanges(broker, async () => {
      const path = `${instancePath('there')}?service_id=other&plan_id=${broker.plan.id}`;
      assertError(await broker.send('DELETE', path), 400);
    });
  });

  it('rule 9: an outdated plan_id does not stand in the way: the platform may not know of an update', async () => {
    assert.equal((await broker.provision('outdated')).status, 201);
    const path = `${instancePath('outdated')}?service_id=${broker.service.id}&plan_id=an-old-plan`;
    assert.equal((await broker.send('DELETE', path)).status, 200);
  });

  it('is not held up by a malformed record among its bindings, which the log names', async () => {
    assert.equal((await broker.provision('damaged')).status, 201);
    assert.equal((await broker.bind('damaged', 'whole')).status, 201);
    const key = '/_broker/v1/bindings/damaged/malformed';
    const root = await rootConnection(broker);
    try {
      await root.kv.put({ key: Buffer.from(key), value: Buffer.from('{not json') });
    } finally {
      root.close();
    }
    assert.equal((await broker.deprovision('damaged')).status, 200);
    const { records } = await snapshotOfCluster(broker);
    assert.deepEqual(
      records.filter((record) => /\/(bindings|instances)\/damaged/.test(record)),
      [],
    );
    assert.ok(broker.logged.some((line) => JSON.parse(line).level === 'error' && line.includes(key)));
  });

  it('takes the bindings along that are left, with their users, roles and keys', async () => {
    const before = await snapshotOfCluster(broker);
    assert.equal((await broker.provision('full')).status, 201);
    for (const id of ['a', 'b']) {
      const { body } = await broker.bind('full', id);
      await writeKeys(body.credentials, 10);
    }
    assert.equal(await countKeys(), 20);
    assert.equal((await broker.deprovision('full')).status, 200);
    const after = await snapshotOfCluster(broker);
    assert.deepEqual([after.users, after.roles], [before.users, before.roles]);
    assert.equal(await countKeys(), 0);
    assertError(await broker.send('GET', bindingPath('full', 'a')), 404);
    assertError(await broker.unbind('full', 'a'), 410);
  });

  it('leaves the keys of other instances alone', async () => {
    const { body } = await broker.bind('there', 'b');
    await writeKeys(body.credentials, 3);
    assert.equal((await broker.provision('other')).status, 201);
    assert.equal((await broker.deprovision('other')).status, 200);
    assert.equal(
      await asTenant(body.credentials, (client, prefix) => client.getAll().prefix(prefix).count()),
      3,
    );
  });

  it('an id that was used before starts from nothing', async () => {
    const ids = new Set<string>();
    for (let round = 0; round < 2; round += 1) {
      assert.equal((await broker.provision('reused')).status, 201);
      const { body } = await broker.bind('reused', 'b', { parameters: { key_space: 'shared' } });
      ids.add(body.credentials.deployment_id);
      await asTenant(body.credentials, async (client, prefix) => {
        assert.equal(await client.getAll().prefix(prefix).count(), 0);
        await client.put(`${prefix}k`).value('v');
      });
      assert.equal((await broker.deprovision('reused')).status, 200);
    }
    assert.equal(ids.size, 2);
  });

  it('ten of the same at once all end well', async () => {
    assert.equal((await broker.provision('race')).status, 201);
    const replies = await Promise.all(Array.from({ length: 10 }, () => broker.deprovision('race')));
    assert.ok(replies.some(({ status }) => status === 200));
    for (const { status, text } of replies) {
      assert.ok(status === 200 || status === 410, text);
    }
  });

  it('rules 1, 11 and 13: more than 20,000 keys are deleted after a 202, which can be polled', async function () {
    this.timeout(60_000);
    assert.equal((await broker.provision('large')).status, 201);
    const { body } = await broker.bind('large', 'b');
    await writeKeys(body.credentials, 20_100);
    const first = await broker.deprovision('large', '&accepts_incomplete=true');
    assert.equal(first.status, 202, first.text);
    assert.deepEqual(Object.keys(first.body), ['operation']);
    const again = await broker.deprovision('large', '&accepts_incomplete=true');
    assert.ok([200, 202, 410].includes(again.status), again.text);
    if (again.status === 202) {
      assert.deepEqual(again.body, first.body);
    }
    const path = `${instancePath('large')}/last_operation?operation=${first.body.operation}`;
    await eventually(async () => {
      const polled = await broker.send('GET', path);
      assert.equal(polled.status, 200, polled.text);
      assert.equal(polled.body.state, 'succeeded');
    });
    assert.equal((await broker.send('GET', path)).body.state, 'succeeded', 'it stays so');
    assertError(await broker.deprovision('large'), 410);
  });

  it('rule 11: more than 20,000 keys are deleted before the answer where the platform takes no 202', async function () {
    this.timeout(60_000);
    assert.equal((await broker.provision('large')).status, 201);
    const { body } = await broker.bind('large', 'b');
    await writeKeys(body.credentials, 20_100);
    const reply = await broker.deprovision('large');
    assert.deepEqual([reply.status, reply.text], [200, '{}']);
    assert.equal(await countKeys(), 3);
  });
});
