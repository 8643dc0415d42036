import assert from 'node:assert/strict';
import fc from 'fast-check';
import { findJsonMistake, lineAndColumn } from '../../src/catalog/json.js';

describe('findJsonMistake', () => {
  const cases: [text: string, offset: number, message: RegExp][] = [
    ['{"a": tru}', 6, /invalid symbol/],
    ['[1, 2', 5, /close bracket expected/],
    ['{"a" 1}', 5, /colon expected/],
    ['{"a": 1} // no', 9, /invalid comment/],
    ['{"b":[{"a":1,"\\u0061":2}]}', 13, /"a" is there twice/],
  ];
  for (const [text, offset, message] of cases) {
    it(`finds the mistake in ${text}`, () => {
      const mistake = findJsonMistake(text);
      assert.equal(mistake?.offset, offset);
      assert.match(mistake?.message ?? '', message);
    });
  }

  it('takes what is JSON', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), (text) => {
        assert.equal(findJsonMistake(text), undefined);
      }),
    );
  });
});

describe('lineAndColumn', () => {
  it('counts both from 1', () => {
    assert.deepEqual(lineAndColumn('ab\ncd', 0), { line: 1, column: 1 });
    assert.deepEqual(lineAndColumn('ab\ncd', 2), { line: 1, column: 3 });
    assert.deepEqual(lineAndColumn('ab\ncd', 4), { line: 2, column: 2 });
  });
});
