import assert from 'node:assert/strict';
import { Periodic } from '../src/periodic.js';
import { eventually } from './support/time.js';

describe('Periodic work', () => {
  const lines: string[] = [];
  const log = {
    info: (_details: object, text: string) => lines.push(text),
    warn: (details: object, text: string) => lines.push(`${text}: ${(details as { reason: string }).reason}`),
  };
  beforeEach(() => {
    lines.length = 0;
  });

  it('runs one at a time, and stop waits for the run and tells it', async () => {
    let [runs, running, ended] = [0, 0, 0];
    const periodic = new Periodic({
      what: 'Work',
      intervalMs: 1,
      log,
      run: async (stopping) => {
        runs += 1;
        running += 1;
        assert.equal(running, 1);
        await new Promise((resolve) => stopping.addEventListener('abort', resolve));
        running -= 1;
        ended += 1;
      },
    });
    periodic.start(0);
    await eventually(async () => assert.equal(runs, 1));
    await periodic.stop();
    assert.deepEqual([runs, ended], [1, 1]);
  });

  it('backs off while it fails, and tells a failure once', async () => {
    let reason: string | undefined = 'no answer';
    const at: number[] = [];
    const periodic = new Periodic({
      what: 'Work',
      intervalMs: 10,
      log,
      run: async () => {
        at.push(performance.now());
        if (reason !== undefined) {
          throw new Error(reason);
        }
      },
    });
    periodic.start(0);
    await eventually(async () => assert.ok(at.length >= 5));
    assert.ok(
      (at[4] as number) - (at[3] as number) >= 75,
      'the fourth failure is followed by a pause of 160 ms',
    );
    reason = undefined;
    await eventually(async () => assert.equal(lines.length, 2));
    await periodic.stop();
    assert.deepEqual(lines, ['Work failed; it is tried again: no answer', 'Work works again']);
  });
});
