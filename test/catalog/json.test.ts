import assert from 'node:assert/strict';
import fc from 'fast-check';
import { findJsonMistake, lineAndColumn } from '../../src/catalog/json.js';

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe('findJsonMistake', () => {
  const cases: [text: string, offset: number, message: RegExp][] = [
    ['{"a": tru}', 6, /a value/],
    ['[1, 2', 5, /"\]" or ","/],
    ['[01]', 2, /"\]" or ","/],
    ['["a\nb"]', 1, /not well-formed/],
    ['["\\x"]', 1, /not well-formed/],
    ["{'a': 1}", 1, /a string in "/],
    ['{"a" 1}', 5, /":"/],
    ['{"a":1,"\\u0061":2}', 7, /"a" is there twice/],
    [`${'['.repeat(200)}`, 101, /nested/],
  ];
  for (const [text, offset, message] of cases) {
    it(`finds the mistake in ${JSON.stringify(text.slice(0, 20))}`, () => {
      const mistake = findJsonMistake(text);
      assert.equal(mistake?.offset, offset);
      assert.match(mistake?.message ?? '', message);
    });
  }

  it('agrees with JSON.parse on what is JSON', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), (text) => {
        assert.equal(findJsonMistake(text), undefined);
      }),
    );
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 3 }),
        fc.nat(),
        fc.constantFrom(...'{}[],:"\\ \n01.-eEtnul'),
        (text, at, extra) => {
          const cut = at % (text.length + 1);
          const broken = text.slice(0, cut) + extra + text.slice(cut + (at % 2));
          const mistake = findJsonMistake(broken);
          if (!mistake?.message.includes('twice')) {
            assert.equal(mistake === undefined, parses(broken), broken);
          }
        },
      ),
      { numRuns: 2000 },
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
