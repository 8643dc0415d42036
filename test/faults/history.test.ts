import assert from 'node:assert/strict';
import { faultsOf, type Seen } from './support/history.js';

const seen = (kind: Seen['kind'], value: number, modRevision: number, from: number, to: number): Seen => ({
  kind,
  key: 'k',
  value,
  modRevision,
  revision: Math.max(modRevision, from),
  from,
  to,
});
const begun = new Map([['k', [10, 20, 30]]]);

describe('The check of what tenants saw', () => {
  it('takes what one register could have told', () => {
    const history = [
      seen('read', 0, 0, 5, 12),
      seen('write', 1, 5, 10, 14),
      seen('read', 1, 5, 15, 19),
      seen('write', 2, 6, 20, 30),
      seen('read', 1, 5, 21, 25),
      seen('read', 2, 6, 22, 24),
      seen('read', 2, 6, 31, 33),
    ];
    assert.deepEqual(faultsOf(history, begun), []);
  });

  for (const [what, history, fault] of [
    ['a stale read', [seen('write', 1, 5, 10, 14), seen('read', 0, 0, 15, 16)], /told 0 after 1 was known/],
    [
      'two reads that go back',
      [seen('read', 2, 6, 21, 22), seen('read', 1, 5, 23, 24)],
      /told 1 after 2 was known/,
    ],
    ['a value from the future', [seen('read', 2, 6, 11, 15)], /2 was told before it was written/],
    ['a value that nobody wrote', [seen('read', 4, 9, 50, 51)], /4 was told before it was written/],
    ['a write that was done twice', [seen('write', 1, 5, 10, 14), seen('read', 1, 7, 15, 16)], /5 and 7/],
    [
      'revisions in another order',
      [seen('write', 1, 8, 10, 14), seen('read', 2, 6, 20, 24)],
      /2 at revision 6 came before 1 at 8/,
    ],
    [
      'a header that goes back',
      [seen('read', 0, 0, 100, 101), { ...seen('read', 0, 0, 102, 103), revision: 99 }],
      /told revision 99 after 100/,
    ],
  ] as const) {
    it(`finds ${what}`, () => {
      const faults = faultsOf(history, begun);
      assert.ok(
        faults.some((line) => fault.test(line)),
        faults.join('\n'),
      );
    });
  }
});
