import assert from 'node:assert/strict';
import { type GuardedProcess, startGuarded } from '../../src/embedded/guardian.js';

describe('The guardian of etcd', () => {
  it('tells how a program ended whose end is seen before what the guardian has printed', async () => {
    // Node.js looks for the ends of all children when it hears of one, after it has read what had been there before.
    let second: Promise<GuardedProcess> | undefined;
    const first = startGuarded('/bin/sh', ['-c', 'echo >&2; exit 3'], () => {
      second = startGuarded('/bin/sh', ['-c', 'exit 4'], () => undefined);
      block(200);
    });
    block(200);
    assert.equal(await (await first).exited, 'ended with status 3');
    const { exited, pid } = (await second) as GuardedProcess;
    assert.ok(pid > 0);
    assert.equal(await exited, 'ended with status 4');
  });
});

function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}
