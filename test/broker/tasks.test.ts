import assert from 'node:assert/strict';
import { Unavailable } from '../../src/broker/errors.js';
import { KEPT_FOR_REMOVALS, MOST_RUNNING, type Task, Tasks } from '../../src/broker/operations/tasks.js';

const RECORD = { instance_id: 'i', binding_id: 'b' };
const ENDED = { operation_id: 'o', state: 'succeeded', description: '' } as const;

/** Something that a test lets happen. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe('Tasks', () => {
  let tasks: Tasks;
  let steps: string[];

  beforeEach(() => {
    tasks = new Tasks();
    steps = [];
  });

  /** Two steps, the first of which waits for the gate; begins anew when the record has changed. */
  const body = (wait: Promise<void>) => async (task: Task) => {
    for (;;) {
      await task.settle();
      try {
        steps.push('first');
        await wait;
        task.before();
        steps.push('second');
        return ENDED;
      } catch (error) {
        if ((error as Error).name !== 'Superseded') {
          throw error;
        }
      }
    }
  };

  it('run once for each record; a second start makes the first look again', async () => {
    const { opened, open } = gate();
    const one = tasks.start(RECORD, body(opened));
    const other = tasks.start(RECORD, body(opened));
    assert.equal(tasks.running, 1);
    open();
    assert.deepEqual(await Promise.all([one, other]), [ENDED, ENDED]);
    assert.deepEqual(steps, ['first', 'first', 'second']);
    assert.equal(tasks.running, 0);
  });

  it('look again when the record changes right after they have seen it whole', async () => {
    let looks = 0;
    await tasks.start(RECORD, async (task) => {
      await task.settle();
      looks += 1;
      if (looks === 1) {
        void tasks.start(RECORD, async () => undefined);
      }
      return ENDED;
    });
    assert.equal(looks, 2);
  });

  it('go no further while somebody else holds the record', async () => {
    const { opened, open } = gate();
    const ended = tasks.start(RECORD, body(opened));
    const holding = tasks.hold(RECORD, 5_000);
    open();
    const hold = await holding;
    assert.equal(hold.isQuiet, true);
    assert.deepEqual(steps, ['first']);
    hold.release();
    await ended;
    assert.deepEqual(steps, ['first', 'first', 'second']);
  });

  it('do not start while somebody holds the record, and wait for the last who does', async () => {
    const [one, other] = [await tasks.hold(RECORD, 0), await tasks.hold(RECORD, 0)];
    assert.deepEqual([one.isQuiet, other.isQuiet], [true, true]);
    const ended = tasks.start(RECORD, async (task) => {
      if (task.isSuperseded) {
        await task.settle();
      }
      steps.push('acts');
      return ENDED;
    });
    one.release();
    one.release();
    await new Promise(setImmediate);
    assert.deepEqual(steps, []);
    other.release();
    await ended;
    assert.deepEqual(steps, ['acts']);
  });

  it('in a step that takes too long are not quiet', async () => {
    const { opened, open } = gate();
    const ended = tasks.start(RECORD, body(opened));
    const hold = await tasks.hold(RECORD, 10);
    assert.equal(hold.isQuiet, false);
    hold.release();
    open();
    await ended;
  });

  it('that pause go on at once when the record changes', async () => {
    const startedAt = performance.now();
    let runs = 0;
    const ended = tasks.start(RECORD, async (task) => {
      await task.settle();
      runs += 1;
      if (runs === 1) {
        await task.pause(60_000);
      }
      return ENDED;
    });
    await new Promise(setImmediate);
    void tasks.start(RECORD, async () => undefined);
    await ended;
    assert.equal(runs, 2);
    assert.ok(performance.now() - startedAt < 10_000);
  });

  it('stop at their next step when the replica stops, and nothing starts any more', async () => {
    const { opened, open } = gate();
    const ended = tasks.start(RECORD, body(opened));
    const drained = tasks.drain(10);
    await new Promise((resolve) => setTimeout(resolve, 30));
    open();
    assert.equal(await ended, undefined);
    await drained;
    assert.deepEqual(steps, ['first']);
    assert.throws(() => tasks.assertRoom('removal'), Unavailable);
  });

  it('keep room for removals when creations get no further', async () => {
    const { opened, open } = gate();
    for (let index = 0; index < MOST_RUNNING - KEPT_FOR_REMOVALS; index += 1) {
      tasks.assertRoom('creation');
      void tasks.start({ instance_id: String(index) }, body(opened));
    }
    assert.throws(() => tasks.assertRoom('creation'), Unavailable);
    for (let index = 0; index < KEPT_FOR_REMOVALS; index += 1) {
      tasks.assertRoom('removal');
      void tasks.start({ instance_id: `removal-${index}` }, body(opened));
    }
    assert.throws(() => tasks.assertRoom('removal'), Unavailable);
    open();
    await tasks.drain(5_000);
  });
});
