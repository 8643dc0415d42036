import assert from 'node:assert/strict';
import { AnswerBudget, type LargeAnswer } from '../../../src/portal/limits/answer-budget.js';

const [ONE, OTHER] = [{}, {}];

describe('The budget of large answers', () => {
  let budget: AnswerBudget;
  /** The names of those that waited, in the order in which they found room. */
  let served: string[];

  beforeEach(() => {
    budget = new AnswerBudget(100);
    served = [];
  });

  const answer = (name: string, owner: object = ONE): LargeAnswer => ({
    owner,
    onRoom: () => served.push(name),
  });

  it('lets in what fits, and the rest when there is room again', () => {
    const [a, b, c] = [answer('a'), answer('b'), answer('c')];
    assert.deepEqual([budget.take(a, 60), budget.take(b, 40), budget.take(c, 1)], [true, true, false]);
    budget.give(b);
    assert.deepEqual([served, budget.total], [['c'], 61]);
    budget.give(a);
    budget.give(c);
    assert.equal(budget.total, 0);
  });

  it('lets in a larger one by itself', () => {
    const [large, next] = [answer('large'), answer('next')];
    assert.ok(budget.take(large, 1_000));
    assert.equal(budget.take(next, 1), false);
    budget.give(large);
    assert.deepEqual(served, ['next']);
  });

  it('does not let small ones past one that waits', () => {
    const [first, large, small] = [answer('first'), answer('large'), answer('small')];
    budget.take(first, 50);
    assert.equal(budget.take(large, 90), false);
    assert.equal(budget.take(small, 1), false);
    budget.give(first);
    assert.deepEqual(served, ['large', 'small']);
  });

  it('goes round among owners, whoever waits longest', () => {
    const first = answer('first');
    budget.take(first, 100);
    const mine = ['a', 'b', 'c'].map((name) => answer(name));
    const others = answer('other', OTHER);
    for (const waiting of [...mine, others]) {
      assert.equal(budget.take(waiting, 100), false);
    }
    budget.give(first);
    budget.give(mine[0] as LargeAnswer);
    assert.deepEqual(served, ['a', 'b']);
    const half = new AnswerBudget(100);
    half.take(first, 50);
    half.take(answer('second'), 50);
    half.take(mine[0] as LargeAnswer, 50);
    half.take(others, 50);
    served = [];
    half.give(first);
    assert.deepEqual(served, ['other']);
  });

  it('forgets one that is not wanted any more, wherever it is', () => {
    const [first, gone, next] = [answer('first'), answer('gone'), answer('next')];
    budget.take(first, 100);
    budget.take(gone, 100);
    budget.take(next, 10);
    budget.give(gone);
    assert.deepEqual(served, []);
    budget.give(first);
    assert.deepEqual([served, budget.total], [['next'], 10]);
    budget.give(first);
    assert.equal(budget.total, 10);
  });
});
