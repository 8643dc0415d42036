import assert from 'node:assert/strict';
import { bind } from '../../src/broker/requests/bind.js';
import { deprovision } from '../../src/broker/requests/deprovision.js';
import { unbind } from '../../src/broker/requests/unbind.js';
import { keys } from '../../src/records/keys.js';
import { sleep } from '../../src/timing.js';
import { NOTHING_LEFT, Replica, World } from '../support/replica.js';

const BINDING = { instance_id: 'i', binding_id: 'b' };
const REQUESTS = {
  bind: ({ parts }: Replica) =>
    bind(parts, {
      ...BINDING,
      attributes: { service_id: 'service', plan_id: 'plan', parameters: {} },
      acceptsIncomplete: false,
    }),
  unbind: ({ parts }: Replica) =>
    unbind(parts, { ...BINDING, service_id: 'service', acceptsIncomplete: false }),
  deprovision: ({ parts }: Replica) =>
    deprovision(parts, { instance_id: 'i', service_id: 'service', acceptsIncomplete: false }),
};

/** How many calls a request makes when nothing disturbs it. */
async function callsOf(request: keyof typeof REQUESTS): Promise<number> {
  const world = new World();
  const replica = new Replica(world);
  if (request !== 'bind') {
    await REQUESTS.bind(replica);
  }
  let calls = 0;
  replica.step = () => {
    calls += 1;
  };
  await REQUESTS[request](replica);
  await replica.settle();
  return calls;
}

describe('Recovery', () => {
  for (const request of Object.keys(REQUESTS) as (keyof typeof REQUESTS)[]) {
    it(`brings a ${request} to its end whose replica died before any of its calls`, async () => {
      const total = await callsOf(request);
      assert.ok(total > 4, String(total));
      for (let dies = 1; dies <= total; dies += 1) {
        const world = new World();
        const dying = new Replica(world);
        if (request !== 'bind') {
          await REQUESTS.bind(dying);
        }
        let calls = 0;
        dying.step = () => {
          calls += 1;
          if (calls === dies) {
            dying.die();
          }
        };
        void REQUESTS[request](dying);
        while (world.store.entries.has(keys.owner(dying.id))) {
          await sleep(1);
        }
        const others = [new Replica(world), new Replica(world)];
        await Promise.all(others.map(({ recovery }) => recovery.look()));
        await Promise.all(others.map((other) => other.settle()));
        const [survivor] = others as [Replica, Replica];
        const where = `died at call ${dies} of ${total}`;
        assert.deepEqual(world.left.open, [], where);
        const state = (await survivor.records.readBinding('i', 'b'))?.value.state;
        // It is wholly there or not at all; the platform, which has no answer, asks again.
        assert.equal(world.left.access.length, state === undefined ? 0 : 2, where);
        await REQUESTS[request](survivor).catch((error: Error) => assert.equal(error.name, 'Gone', where));
        const left = request === 'bind' ? 2 : 0;
        assert.equal(world.left.access.length, left, where);
        if (request !== 'bind') {
          assert.deepEqual(world.left, NOTHING_LEFT, where);
        }
      }
    });
  }

  it('goes on with the rest when an operation under way is malformed, and names it', async () => {
    const world = new World();
    const dying = new Replica(world);
    dying.step = (call) => {
      if (call === 'add user') {
        dying.die();
      }
    };
    void REQUESTS.bind(dying);
    while (world.store.entries.has(keys.owner(dying.id))) {
      await sleep(1);
    }
    world.store.put(keys.openOperation('a'), Buffer.from('{not json'));
    const other = new Replica(world);
    await other.recovery.look();
    await other.settle();
    assert.equal((await other.records.readBinding('i', 'b'))?.value.state, 'ready');
    assert.ok(other.logged.some((line) => line.includes(keys.openOperation('a'))));
  });
});
