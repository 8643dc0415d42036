import assert from 'node:assert/strict';
import fc from 'fast-check';
import { RangeWalk } from '../../src/etcd/range-walk.js';
import { type KeyRange, rangeOfPrefix } from '../../src/etcd/ranges.js';

/** Walks as etcd answers; `keys` are sorted and different. */
function walked(keys: readonly Buffer[], range: KeyRange, limit: number, fewKeys?: number) {
  const walk = new RangeWalk(range, fewKeys);
  const found: Buffer[] = [];
  let [calls, counted] = [0, 0];
  for (let { next } = walk; next !== undefined; { next } = walk) {
    const { key, range_end } = next;
    const isToTheEnd = range_end.equals(Buffer.from([0]));
    const within = keys.slice(firstFrom(keys, key), isToTheEnd ? keys.length : firstFrom(keys, range_end));
    const page = within.slice(0, limit);
    found.push(...page);
    walk.read({
      first: page[0],
      last: page.at(-1),
      more: page.length < within.length,
      count: within.length,
      limit,
    });
    calls += 1;
    counted += within.length;
  }
  return { found, calls, counted };
}

/** Where the first key stands that is not below another. */
function firstFrom(keys: readonly Buffer[], least: Buffer): number {
  let [from, to] = [0, keys.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    [from, to] = Buffer.compare(keys[middle] as Buffer, least) < 0 ? [middle + 1, to] : [from, middle];
  }
  return from;
}

const sorted = (keys: readonly Buffer[]) =>
  [...new Map(keys.map((key) => [key.toString('hex'), key])).values()].sort(Buffer.compare);

describe('A walk through a range', () => {
  // Few different bytes, so that keys share many, and the ends of what a byte can be.
  const byte = fc.constantFrom(0, 1, 0x2f, 0x30, 0x39, 0xfe, 0xff);
  const key = fc.array(byte, { maxLength: 12 }).map((bytes) => Buffer.from(bytes));

  it('finds each key once, in order, whatever the keys are', () => {
    fc.assert(
      fc.property(
        fc.array(key, { maxLength: 300 }),
        fc.array(byte, { maxLength: 3 }),
        fc.integer({ min: 1, max: 9 }),
        (ends, prefix, limit) => {
          const own = sorted(ends.map((end) => Buffer.concat([Buffer.from(prefix), end]))).filter(
            ({ length }) => length > 0,
          );
          const others = [Buffer.from('\x00'), Buffer.from('m'), Buffer.from('\xff\xff\xff', 'latin1')];
          const range = rangeOfPrefix(Buffer.from(prefix));
          const isOwn = (one: Buffer) => one.subarray(0, prefix.length).equals(Buffer.from(prefix));
          const all = sorted([...own, ...others]);
          const { found, calls } = walked(all, range, limit, 0);
          assert.deepEqual(found, all.filter(isOwn));
          // Between two pages of keys there are few calls that find none.
          assert.ok(calls <= (found.length / limit + 1) * 33 + 12, `${calls} calls for ${found.length}`);
        },
      ),
      { numRuns: 300 },
    );
  });

  const digits = (at: number) => Buffer.from(`/d/key-${String(at).padStart(9, '0')}`);
  const names = {
    'numbers in a row': digits,
    'names that are hashes': (at: number) =>
      Buffer.from(`/d/${((at * 2_654_435_761) % 2 ** 32).toString(16)}`),
    'folders of ten': (at: number) => Buffer.from(`/d/folder-${Math.floor(at / 10)}/deeper/and/deeper/${at}`),
    'one long name': (at: number) => Buffer.from(`/d/${'x'.repeat(500)}${at}`),
    'a few large folders among many small': (at: number) =>
      Buffer.from(at % 4 === 0 ? `/d/small-${at}/config` : `/d/large-${at % 3}/${at}`),
  };
  for (const [name, nameOf] of Object.entries(names)) {
    it(`has etcd count each key a few times only: ${name}`, () => {
      const [COUNT, LIMIT] = [100_000, 1_000];
      const keys = sorted(Array.from({ length: COUNT }, (_, at) => nameOf(at)));
      const { found, calls, counted } = walked(keys, rangeOfPrefix('/d/'), LIMIT);
      assert.equal(found.length, keys.length);
      console.log(`      ${calls} calls, each key counted ${(counted / keys.length).toFixed(1)} times`);
      assert.ok(calls < 6 * (COUNT / LIMIT));
      // It were 50 times, were the whole rest counted for each page.
      assert.ok(counted < 15 * keys.length);
    });
  }
});
