import assert from 'node:assert/strict';
import { decideOnKeys, type SealedWith } from '../../src/records/key-check.js';

describe('The encryption keys of a replica that starts', () => {
  const none = undefined;
  const table: [what: string, sealed: SealedWith, decision: 'fits' | 'write the check value' | RegExp][] = [
    ['nothing there yet', { configured: ['a'], check: none, records: [] }, 'write the check value'],
    ['older records that open', { configured: ['a'], check: none, records: ['a'] }, 'write the check value'],
    [
      'older records, one of which opens',
      { configured: ['a'], check: none, records: ['b', 'a'] },
      'write the check value',
    ],
    [
      'older records that do not open',
      { configured: ['a'], check: none, records: ['b'] },
      /key b, .*are a\. Set BROKER_ENCRYPTION_KEY/,
    ],
    [
      'rotation: the new key is known everywhere',
      { configured: ['a', 'b'], check: 'a', records: [] },
      'fits',
    ],
    ['rotation: the new key seals', { configured: ['b', 'a'], check: 'a', records: [] }, 'fits'],
    ['rotation: the old key is taken away', { configured: ['b'], check: 'b', records: [] }, 'fits'],
    [
      'rotation: the old key is taken away without reseal',
      { configured: ['b'], check: 'a', records: [] },
      /key a, .*are b\./,
    ],
    ['another key', { configured: ['c'], check: 'a', records: [] }, /key a, .*are c\./],
    [
      'a damaged check value',
      { configured: ['a'], check: null, records: [] },
      /key-check.*can't be read.*reseal/,
    ],
  ];
  for (const [what, sealed, expected] of table) {
    it(what, () => {
      const decision = decideOnKeys(sealed);
      if (typeof expected === 'string') {
        assert.equal(decision, expected);
      } else {
        assert.ok(typeof decision === 'object');
        assert.match(decision.refused, expected);
        assert.ok(!decision.refused.includes('\n'));
      }
    });
  }
});
