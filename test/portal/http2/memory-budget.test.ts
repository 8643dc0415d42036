import assert from 'node:assert/strict';
import fc from 'fast-check';
import { MemoryBudget, type MemoryHolder } from '../../../src/portal/http2/memory-budget.js';

class Holder implements MemoryHolder {
  ended = 0;
  endForMemory(): void {
    this.ended++;
  }
}

describe('MemoryBudget', () => {
  it('ends the heaviest holder, the newest among equals', () => {
    const budget = new MemoryBudget(100);
    const [first, second, third] = [new Holder(), new Holder(), new Holder()];
    assert.ok(budget.take(first, 40));
    assert.ok(budget.take(second, 40));
    assert.ok(budget.take(third, 30));
    assert.deepEqual([first.ended, second.ended, third.ended], [0, 1, 0]);
    assert.equal(budget.total, 70);
  });

  it('tells a holder that it was the one to end', () => {
    const budget = new MemoryBudget(100);
    const holder = new Holder();
    assert.equal(budget.take(holder, 101), false);
    assert.equal(budget.total, 0);
  });

  it('never holds more than its limit, nor less than nothing', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(4), fc.integer({ min: -60, max: 60 }))), (steps) => {
        const budget = new MemoryBudget(100);
        const holders = Array.from({ length: 5 }, () => new Holder());
        for (const [index, bytes] of steps) {
          const holder = holders[index] as Holder;
          if (bytes > 0) {
            budget.take(holder, bytes);
          } else {
            budget.give(holder, -bytes);
          }
          assert.ok(budget.total >= 0 && budget.total <= 100, `${budget.total}`);
        }
        for (const holder of holders) {
          budget.release(holder);
        }
        assert.equal(budget.total, 0);
      }),
    );
  });
});
