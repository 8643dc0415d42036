import assert from 'node:assert/strict';
import { Unavailable } from '../../src/broker/errors.js';
import { Turns } from '../../src/broker/requests/turns.js';

describe('Turns', () => {
  const never = Number.POSITIVE_INFINITY;

  it('run one after the other for a key, in order, and side by side for others', async () => {
    const turns = new Turns();
    const events: string[] = [];
    const task = (name: string) => async () => {
      events.push(`${name} begins`);
      await Promise.resolve();
      events.push(`${name} ends`);
      return name;
    };
    const names = await Promise.all([
      turns.take('key', never, task('a')),
      turns.take('key', never, task('b')),
      turns.take('other', never, task('c')),
    ]);
    assert.deepEqual(names, ['a', 'b', 'c']);
    assert.deepEqual(
      events.filter((event) => !event.startsWith('c')),
      ['a begins', 'a ends', 'b begins', 'b ends'],
    );
    assert.ok(events.indexOf('c begins') < events.indexOf('b begins'));
  });

  it('a failure is for its caller alone', async () => {
    const turns = new Turns();
    const failing = turns.take('key', never, () => Promise.reject(new Error('this one')));
    const next = turns.take('key', never, async () => 'done');
    await assert.rejects(failing, /this one/);
    assert.equal(await next, 'done');
  });

  it('what comes to its turn too late does not run', async () => {
    const turns = new Turns();
    let ran = false;
    const first = turns.take('key', never, async () => {
      const startedAt = performance.now();
      while (performance.now() - startedAt < 5) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    const late = turns.take('key', performance.now() + 1, async () => {
      ran = true;
    });
    await assert.rejects(late, Unavailable);
    await first;
    assert.equal(ran, false);
  });

  it('no more than a thousand wait', async () => {
    const turns = new Turns();
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const taken = Array.from({ length: 1_000 }, () => turns.take('key', never, () => held));
    await assert.rejects(
      turns.take('another', never, async () => {}),
      Unavailable,
    );
    release();
    await Promise.all(taken);
    await turns.take('another', never, async () => {});
  });
});
