import assert from 'node:assert/strict';
import { bindingPath, startTestBroker, type TestBroker } from '../support/broker.js';
import { snapshotOfCluster } from '../support/cluster.js';
import { assertError, assertNothingChanges } from '../support/replies.js';
import { asTenant } from '../support/tenant.js';

describe('DELETE …/service_bindings/:binding_id', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker();
    assert.equal((await broker.provision('i')).status, 201);
    assert.equal((await broker.bind('i', 'there')).status, 201);
  });
  after(() => broker.dispose());

  it('rules 5 and 11: 200 with {}, and then the credentials do not work and nothing is left', async () => {
    const before = await snapshotOfCluster(broker);
    const { credentials } = (await broker.bind('i', 'b')).body;
    await asTenant(credentials, async (client, prefix) => {
      await client.put(`${prefix}k`).value('v');
      const reply = await broker.unbind('i', 'b');
      assert.deepEqual([reply.status, reply.text], [200, '{}']);
      // The token of a client that is signed in does not work either.
      await assert.rejects(client.get(`${prefix}k`).string());
    });
    await assert.rejects(asTenant(credentials, (client, prefix) => client.get(`${prefix}k`).string()));
    const after = await snapshotOfCluster(broker);
    assert.deepEqual([after.users, after.roles], [before.users, before.roles]);
  });

  it('rules 9 and 11: 410 for what is gone and for what never existed, and nothing is made by it', async () => {
    await assertNothingChanges(broker, async () => {
      assertError(await broker.unbind('i', 'b'), 410);
      assertError(await broker.unbind('i', 'never'), 410);
      assertError(await broker.unbind('never', 'never', '&accepts_incomplete=true'), 410);
    });
  });

  it('a binding is not deleted by way of another instance', async () => {
    assert.equal((await broker.provision('other')).status, 201);
    await assertNothingChanges(broker, async () => {
      assertError(await broker.unbind('other', 'there'), 410);
    });
  });

  it('rule 9: the service of another is 400 and deletes nothing', async () => {
    await assertNothingChanges(broker, async () => {
      const path = `${bindingPath('i', 'there')}?service_id=other&plan_id=${broker.plan.id}`;
      assertError(await broker.send('DELETE', path), 400);
    });
  });

  it('rule 9: an outdated plan_id does not stand in the way', async () => {
    assert.equal((await broker.bind('i', 'outdated')).status, 201);
    const path = `${bindingPath('i', 'outdated')}?service_id=${broker.service.id}&plan_id=an-old-plan`;
    assert.equal((await broker.send('DELETE', path)).status, 200);
  });

  it('rule 11: a delete during creation is accepted and stops it', async () => {
    const before = await snapshotOfCluster(broker);
    for (let round = 0; round < 5; round += 1) {
      const binding = broker.bind('i', `halted-${round}`);
      await new Promise((resolve) => setTimeout(resolve, round * 8));
      const deleted = await broker.unbind('i', `halted-${round}`);
      const bound = await binding;
      assert.ok([200, 410].includes(deleted.status), deleted.text);
      assert.ok([201, 500].includes(bound.status), bound.text);
      if (deleted.status === 410) {
        assert.equal((await broker.unbind('i', `halted-${round}`)).status, 200, 'it came before the bind');
      }
      assertError(await broker.send('GET', bindingPath('i', `halted-${round}`)), 404);
    }
    const after = await snapshotOfCluster(broker);
    assert.deepEqual([after.users, after.roles], [before.users, before.roles]);
  });

  it('ten of the same at once all end well', async () => {
    assert.equal((await broker.bind('i', 'race')).status, 201);
    const replies = await Promise.all(Array.from({ length: 10 }, () => broker.unbind('i', 'race')));
    assert.ok(replies.some(({ status }) => status === 200));
    for (const { status, text } of replies) {
      assert.ok(status === 200 || status === 410, text);
    }
  });

  it('the same id can be bound again, with new credentials', async () => {
    const first = await broker.bind('i', 'reused');
    assert.equal((await broker.unbind('i', 'reused')).status, 200);
    const second = await broker.bind('i', 'reused', { parameters: { access: 'readonly' } });
    assert.equal(second.status, 201);
    assert.notEqual(first.body.credentials.password, second.body.credentials.password);
    assert.notEqual(first.body.credentials.username, second.body.credentials.username);
  });
});
