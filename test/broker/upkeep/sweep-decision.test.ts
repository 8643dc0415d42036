import assert from 'node:assert/strict';
import { decideSweep } from '../../../src/broker/upkeep/sweep-decision.js';

describe('Roles and users that no record names', () => {
  const names = (count: number, kind: string) =>
    Array.from({ length: count }, (_, index) => `${kind}-${index}`);

  for (const { recorded, whole, halves, held } of [
    { recorded: 100, whole: 0, halves: 0, held: 0 },
    { recorded: 100, whole: 5, halves: 0, held: 0 },
    { recorded: 100, whole: 6, halves: 0, held: 6 },
    { recorded: 10_000, whole: 6, halves: 0, held: 6 },
    { recorded: 18, whole: 2, halves: 0, held: 0 },
    { recorded: 17, whole: 2, halves: 0, held: 2 },
    { recorded: 0, whole: 1, halves: 0, held: 0 },
    { recorded: 3, whole: 1, halves: 0, held: 0 },
    { recorded: 0, whole: 2, halves: 0, held: 2 },
    // Nobody can sign in with a role alone or do anything as a user alone.
    { recorded: 10, whole: 0, halves: 50, held: 0 },
    { recorded: 100, whole: 20, halves: 3, held: 20 },
  ]) {
    it(`${recorded} recorded, ${whole} unknown, ${halves} of them half: ${held} are left alone`, () => {
      const known = names(recorded, 'known');
      const [unknown, alone] = [names(whole, 'unknown'), names(halves, 'half')];
      const existing = {
        roles: new Set([...known, ...unknown, ...alone.filter((_, index) => index % 2 === 0)]),
        users: new Set([...known, ...unknown, ...alone.filter((_, index) => index % 2 === 1)]),
      };
      const decision = decideSweep(existing, new Set(known));
      assert.equal(decision.held.length, held);
      assert.equal(decision.remove.length, whole + halves - held);
      assert.deepEqual(
        decision.remove.filter((name) => known.includes(name)),
        [],
      );
    });
  }
});
