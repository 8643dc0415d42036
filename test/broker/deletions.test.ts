import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BrokerError, Gone } from '../../src/broker/errors.js';
import { bind } from '../../src/broker/requests/bind.js';
import { deprovision } from '../../src/broker/requests/deprovision.js';
import { unbind } from '../../src/broker/requests/unbind.js';
import { keys } from '../../src/records/keys.js';
import { sleep } from '../../src/timing.js';
import type { Fate } from '../support/in-memory-records.js';
import { NOTHING_LEFT, Replica, World } from '../support/replica.js';

const SERVICE = { service_id: 'service', plan_id: 'plan' };
const BINDING = { instance_id: 'i', binding_id: 'b' };
/** Deleting while a step hangs waits a second for it; more than this means that there is no deadline. */
const IN_TIME_MS = 4_000;

const makeBinding = ({ parts }: Replica, binding_id = 'b') =>
  bind(parts, {
    instance_id: 'i',
    binding_id,
    attributes: { ...SERVICE, parameters: {} },
    acceptsIncomplete: false,
  });

const DELETIONS = {
  unbind: ({ parts }: Replica) =>
    unbind(parts, { ...BINDING, service_id: 'service', acceptsIncomplete: false }),
  deprovision: ({ parts }: Replica) =>
    deprovision(parts, { instance_id: 'i', service_id: 'service', acceptsIncomplete: false }),
};
type Deletion = keyof typeof DELETIONS;

/** What the platform takes for success: it is gone, now or already. */
async function deleted(deletion: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('The deletion has no deadline')), IN_TIME_MS);
  });
  try {
    await Promise.race([deletion, late]);
  } catch (error) {
    if (!(error instanceof Gone)) {
      throw error;
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Looks for interrupted operations until the promise is settled, as a replica does each second. */
async function recovering<T>({ recovery }: Replica, promise: Promise<T>): Promise<T> {
  let isOver = false;
  const looking = (async () => {
    while (!isOver) {
      await recovery.look().catch(() => undefined); // the next look may succeed
      await sleep(5);
    }
  })();
  try {
    return await promise;
  } finally {
    isOver = true;
    await looking;
  }
}

/** The calls of a bind after its intent: a deletion meets it before each of them. */
const STEPS = ['add role', 'add user', 'grant role', 'commit'];

interface Meeting {
  world: World;
  binder: Replica;
  deleter: Replica;
  /** How the bind ended. */
  bound: Promise<unknown>;
  /** Lets the bind go on. */
  resume: () => void;
}

/** A bind that hangs right before one of its steps. */
async function hangingBind(step: string, isSameReplica: boolean): Promise<Meeting> {
  const world = new World();
  const binder = new Replica(world);
  const deleter = isSameReplica ? binder : new Replica(world);
  let resume: () => void = () => undefined;
  const resumed = new Promise<void>((resolve) => {
    resume = resolve;
  });
  let commits = 0;
  let hangs: () => void = () => undefined;
  const hanging = new Promise<void>((resolve) => {
    hangs = resolve;
  });
  binder.step = async (call) => {
    commits += call === 'commit' ? 1 : 0;
    if (call === step && !(call === 'commit' && commits === 1)) {
      binder.step = () => undefined;
      hangs();
      await resumed;
    }
  };
  const bound = makeBinding(binder).then(
    (answer) => answer.kind,
    (error: unknown) => error,
  );
  await hanging;
  return { world, binder, deleter, bound, resume };
}

describe('A deletion that meets a bind', () => {
  for (const deletion of Object.keys(DELETIONS) as Deletion[]) {
    for (const where of ['in the same replica', 'in another replica'] as const) {
      it(`${deletion} without space gets through whatever step the bind ${where} hangs in`, async () => {
        await Promise.all(
          STEPS.map(async (step) => {
            const { world, binder, deleter, bound, resume } = await hangingBind(
              step,
              where === 'in the same replica',
            );
            world.store.isFull = true;
            await deleted(DELETIONS[deletion](deleter));
            assert.deepEqual(world.store.under(keys.bindings), [], step);
            resume();
            assert.ok((await bound) instanceof BrokerError, `${step}: the bind must fail`);
            await binder.settle();
            assert.deepEqual(world.left, NOTHING_LEFT, step);
          }),
        );
      });
    }

    it(`${deletion} without space gets through when the bind's replica has died in any step`, async () => {
      for (const step of STEPS) {
        const { world, binder, deleter } = await hangingBind(step, false);
        binder.die();
        world.store.isFull = true;
        await deleted(DELETIONS[deletion](deleter));
        assert.deepEqual(world.left, NOTHING_LEFT, step);
      }
    });

    it(`${deletion} without space gets through when it was begun by a replica that has died`, async () => {
      const world = new World();
      const dying = new Replica(world);
      await makeBinding(dying);
      dying.step = (call) => {
        if (call === 'delete user') {
          dying.die();
        }
      };
      void DELETIONS[deletion](dying);
      while (world.store.entries.has(keys.owner(dying.id))) {
        await sleep(1);
      }
      world.store.isFull = true;
      const other = new Replica(world);
      await recovering(other, deleted(DELETIONS[deletion](other)));
      assert.deepEqual(world.left, NOTHING_LEFT);
    });
  }

  it('without space, a bind that can not write its end is taken back at once', async () => {
    const { world, binder, bound, resume } = await hangingBind('commit', true);
    world.store.isFull = true;
    resume();
    assert.match(((await bound) as Error).message, /no space left/);
    await binder.settle();
    assert.deepEqual(world.left, NOTHING_LEFT);
  });

  it('a bind whose end was written although etcd said that it has no space is ready', async () => {
    const { world, binder, bound, resume } = await hangingBind('commit', true);
    binder.records.fate = () => 'no space, applied';
    resume();
    assert.equal(await bound, 'created');
    assert.equal(world.left.access.length, 2);
    assert.equal(world.left.bindings.length, 1);
  });

  it('a bind that a deletion has taken away does not touch one that was made since under the same id', async () => {
    for (const step of STEPS) {
      const { world, binder, deleter, resume } = await hangingBind(step, false);
      world.store.isFull = true;
      await deleted(DELETIONS.unbind(deleter));
      world.store.isFull = false;
      assert.equal((await makeBinding(deleter)).kind, 'created');
      resume();
      await binder.settle();
      const { value } = (await deleter.records.readBinding('i', 'b')) ?? {};
      assert.equal(value?.state, 'ready');
      assert.deepEqual(world.left.access, [value?.role, value?.username], step);
    }
  });

  it('leaves nothing in any order of their steps, with answers lost and space running out', async () => {
    const fate = fc.constantFrom<Fate>(
      'pass',
      'pass',
      'pass',
      'answer lost',
      'lost',
      'sent twice',
      'no space, applied',
    );
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fate, { maxLength: 12 }),
        fc.constantFrom<Deletion>('unbind', 'deprovision'),
        fc.boolean(),
        fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined }),
        async (scheduler, fates, deletion, isSame, fullAfter) => {
          const world = new World();
          const binder = new Replica(world);
          const deleter = isSame ? binder : new Replica(world);
          const left = [...fates];
          let calls = 0;
          for (const replica of new Set([binder, deleter])) {
            replica.step = (call) => {
              calls += 1;
              world.store.isFull = calls === fullAfter || world.store.isFull;
              return scheduler.schedule(Promise.resolve(), call);
            };
            replica.records.fate = () => left.shift() ?? 'pass';
          }
          const run = async () => {
            await makeBinding(binder).catch(() => undefined);
          };
          const remove = async () => {
            // A platform repeats a deletion until it hears that there is nothing left.
            for (let attempt = 0; attempt < 20; attempt += 1) {
              try {
                await recovering(binder, recovering(deleter, deleted(DELETIONS[deletion](deleter))));
                return;
              } catch (error) {
                assert.ok(/does not answer|changes|slow|concurrent/.test(String(error)), String(error));
              }
            }
          };
          await scheduler.waitFor(run().then(remove));
          await scheduler.waitFor(Promise.all([binder.settle(), deleter.settle()]));
          assert.deepEqual(world.left, NOTHING_LEFT);
        },
      ),
      { numRuns: 60 },
    );
  });
});
