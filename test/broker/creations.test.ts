import assert from 'node:assert/strict';
import { ConcurrencyError, Conflict, InvalidRequest } from '../../src/broker/errors.js';
import type { BindingAttributes } from '../../src/broker/model.js';
import { bind } from '../../src/broker/requests/bind.js';
import { deprovision } from '../../src/broker/requests/deprovision.js';
import { provision } from '../../src/broker/requests/provision.js';
import { unbind } from '../../src/broker/requests/unbind.js';
import { keys } from '../../src/records/keys.js';
import { Replica, World } from '../support/replica.js';

const SERVICE = { service_id: 'service', plan_id: 'plan' };
const INSTANCE = { ...SERVICE, organization_guid: 'o', space_guid: 's', parameters: {}, context: {} };

const makeInstance = ({ parts }: Replica, instance_id = 'new') =>
  provision(parts, { instance_id, acceptsIncomplete: false, ...INSTANCE });
const deleteInstance = ({ parts }: Replica, instance_id = 'new') =>
  deprovision(parts, { instance_id, service_id: 'service', acceptsIncomplete: false });
const makeBinding = (
  { parts }: Replica,
  binding_id = 'b',
  fields: Partial<BindingAttributes> = {},
  signal?: AbortSignal,
) =>
  bind(parts, {
    instance_id: 'i',
    binding_id,
    attributes: { ...SERVICE, parameters: {}, ...fields },
    acceptsIncomplete: false,
    ...(signal && { signal }),
  });
const deleteBinding = ({ parts }: Replica, binding_id = 'b') =>
  unbind(parts, { instance_id: 'i', binding_id, service_id: 'service', acceptsIncomplete: false });

describe('A creation and a deletion of the same', () => {
  let world: World;
  let replica: Replica;
  let other: Replica;

  beforeEach(() => {
    world = new World();
    replica = new Replica(world);
    other = new Replica(world);
  });

  /** Lets the first transaction be applied and sent again, with something in between. */
  function sentTwice(between: () => Promise<unknown>): void {
    replica.records.fate = () => {
      replica.records.fate = () => 'pass';
      return 'sent twice';
    };
    replica.step = async (call) => {
      if (call === 'commit again') {
        replica.step = () => undefined;
        await between();
      }
    };
  }

  it('a bind that was applied, deleted and sent again makes nothing', async () => {
    // Nobody drives the bind before its answer: the other replica takes it away.
    sentTwice(async () => {
      world.store.entries.delete(keys.owner(replica.id));
      await other.recovery.look();
      await other.settle();
      assert.deepEqual(await deleteBinding(other), { kind: 'deleted' });
      world.store.put(keys.owner(replica.id), {});
    });
    await assert.rejects(makeBinding(replica), ConcurrencyError);
    await replica.settle();
    assert.deepEqual(world.left.bindings, []);
    assert.deepEqual(world.left.access, []);
  });

  it('an instance that was made, deleted and is sent again stays deleted', async () => {
    sentTwice(() => deleteInstance(other));
    const { kind } = await makeInstance(replica);
    assert.equal(kind, 'created', 'it was made, and then deleted');
    assert.equal(await replica.records.readInstance('new'), undefined);
  });

  it('an id that was deleted can be used again at once, in any replica', async () => {
    for (const [maker, deleter] of [
      [replica, other],
      [other, replica],
      [replica, replica],
    ] as const) {
      assert.equal((await makeInstance(maker)).kind, 'created');
      await deleteInstance(deleter);
      assert.equal((await makeBinding(maker)).kind, 'created');
      await deleteBinding(deleter);
    }
  });

  it('a creation that a deletion has overtaken makes nothing once the platform has gone away', async () => {
    const gone = new AbortController();
    replica.step = async (call) => {
      if (call === 'commit') {
        replica.step = () => undefined;
        gone.abort();
        await assert.rejects(deleteBinding(other), { name: 'Gone' });
      }
    };
    await assert.rejects(makeBinding(replica, 'b', {}, gone.signal), ConcurrencyError);
    assert.deepEqual(world.left.bindings, []);
  });

  it('an unbind that finds nothing while there is no space looks again before it says so', async () => {
    other.step = async (call) => {
      if (call === 'commit') {
        other.step = () => undefined;
        await makeBinding(replica);
        world.store.isFull = true;
      }
    };
    assert.deepEqual(await deleteBinding(other), { kind: 'deleted' });
    assert.deepEqual(world.left.access, []);
  });
});

describe('A bind of an id that exists', () => {
  let world: World;
  let replica: Replica;

  beforeEach(async () => {
    world = new World();
    replica = new Replica(world);
    await makeBinding(replica);
    const instance = await replica.records.readInstance('i');
    assert.ok(instance);
    const next = { ...instance.value, plan_id: 'larger' };
    await replica.records.change({ instance: { id: 'i', expected: instance, next } });
  });

  it('is that binding after its instance has got another plan', async () => {
    assert.equal((await makeBinding(replica)).kind, 'exists');
  });

  it('conflicts when it asks for something else, whatever the plan of the instance', async () => {
    for (const fields of [{ plan_id: 'larger' }, { app_guid: 'app' }, { predecessor_binding_id: 'none' }]) {
      await assert.rejects(makeBinding(replica, 'b', fields), Conflict);
    }
  });

  it('and one of a new id with the old plan is refused', async () => {
    await assert.rejects(makeBinding(replica, 'new'), InvalidRequest);
  });
});

describe('A bind of an application that is bound already', () => {
  let world: World;
  let replica: Replica;
  const app_guid = 'an app/with any text';

  beforeEach(() => {
    world = new World();
    replica = new Replica(world);
  });

  const made = async (id: string, fields: Partial<BindingAttributes> = { app_guid }) => {
    const answer = await makeBinding(replica, id, fields);
    assert.ok(answer.kind === 'created');
    return answer.binding;
  };

  it('takes over the key space and the access, with a role and a user of its own', async () => {
    const parameters = { key_space: 'shared', access: 'readonly' };
    const first = await made('first', { app_guid, parameters });
    const second = await made('second');
    assert.equal(second.key_prefix, first.key_prefix);
    assert.equal(second.access, 'readonly');
    assert.notEqual(second.role, first.role);
    assert.deepEqual(second.attributes.parameters, {}, 'it is compared with what was asked for');
    assert.equal((await makeBinding(replica, 'second', { app_guid })).kind, 'exists');
  });

  it('goes on from successor to successor', async () => {
    const first = await made('first');
    await made('second');
    await deleteBinding(replica, 'first');
    assert.equal((await made('third')).key_space, first.key_space);
  });

  it('takes the newest of several that is ready and has not expired', async () => {
    const spaces: string[] = [];
    for (const key_space of ['one', 'two', 'three']) {
      spaces.push((await made(key_space, { app_guid, parameters: { key_space } })).key_space);
    }
    assert.equal((await made('newest')).key_space, 'three');
    await deleteBinding(replica, 'newest');
    await deleteBinding(replica, 'three');
    assert.equal((await made('next')).key_space, 'two');
    await deleteBinding(replica, 'next');
    const two = await replica.records.readBinding('i', 'two');
    assert.ok(two);
    const binding = { instance_id: 'i', binding_id: 'two', expected: two };
    await replica.records.change({ binding: { ...binding, next: { ...two.value, expired: true } } });
    assert.equal((await made('last')).key_space, 'one');
  });

  it('has a key space of its own when it has parameters, another application, or none', async () => {
    const first = await made('first');
    for (const [index, fields] of [
      { app_guid, parameters: { access: 'readwrite' } },
      { app_guid: 'another' },
      { app_guid: 'an app' },
      {},
    ].entries()) {
      assert.notEqual((await made(`other-${index}`, fields)).key_space, first.key_space);
    }
  });

  it('has a key space of its own when the other one is still being made', async () => {
    const hanging = new Replica(world);
    let resume: () => void = () => undefined;
    const resumed = new Promise<void>((resolve) => {
      resume = resolve;
    });
    const hangs = new Promise<void>((reached) => {
      hanging.step = async (call) => {
        if (call === 'add role') {
          reached();
          await resumed;
        }
      };
    });
    const first = makeBinding(hanging, 'first', { app_guid });
    await hangs;
    const second = await made('second');
    resume();
    const answer = await first;
    assert.ok(answer.kind === 'created');
    assert.notEqual(second.key_space, answer.binding.key_space);
  });

  it('costs no round trip more when the application has no other binding', async () => {
    await made('warm', {});
    const calls: string[] = [];
    replica.step = (call) => {
      calls.push(call);
    };
    await made('first');
    await replica.settle();
    assert.deepEqual(calls, ['commit', 'add role', 'add user', 'grant role', 'commit']);
  });

  it('leaves no index entry when all are gone', async () => {
    await made('first');
    await made('second');
    assert.equal(world.left.applications.length, 2);
    await deleteBinding(replica, 'first');
    await deleteInstance(replica, 'i');
    assert.deepEqual(world.left.applications, []);
  });
});

describe('An instance with a malformed binding', () => {
  for (const text of ['{not json', 'null', '"text"', '{"instance_id":"i"}']) {
    it(`is deleted, and ${text} is named in the log`, async () => {
      const world = new World();
      const replica = new Replica(world);
      await makeBinding(replica, 'a');
      world.store.put(keys.binding('i', 'm'), Buffer.from(text));
      await makeBinding(replica, 'z');
      assert.deepEqual(await deleteInstance(replica, 'i'), { kind: 'deleted' });
      assert.deepEqual([world.left.bindings, world.left.access], [[], []]);
      assert.equal(await replica.records.readInstance('i'), undefined);
      const line = replica.logged.find((entry) => entry.includes(keys.binding('i', 'm')));
      assert.match(line ?? '', /malformed/);
    });
  }

  it('a reading without a callback names the key', async () => {
    const world = new World();
    const replica = new Replica(world);
    world.store.put(keys.binding('i', 'm'), Buffer.from('{not json'));
    await assert.rejects(replica.records.readBinding('i', 'm'), {
      name: 'MalformedRecord',
      key: keys.binding('i', 'm'),
    });
    await assert.rejects(replica.records.recordedNames(), { name: 'MalformedRecord' });
  });
});
