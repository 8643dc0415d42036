import assert from 'node:assert/strict';
import fc from 'fast-check';
import { decodeMinute, decodeRows, encodeMinute, encodeRows } from '../../src/usage/encoding.js';
import {
  addPortal,
  addTime,
  BUCKETS,
  COUNTERS,
  counterOf,
  emptyRow,
  LEVELS,
  levelOf,
  quantile,
  ROW_LENGTH,
  rowOf,
} from '../../src/usage/row.js';

const all = <Name extends string>(names: readonly Name[], value: number) =>
  Object.fromEntries(names.map((name) => [name, value])) as Record<Name, number>;
const row = (counter: number, level: number, buckets = new Array(BUCKETS.length + 1).fill(0)) =>
  rowOf(all(COUNTERS, counter), buckets, all(LEVELS, level));

describe('Rows of usage', () => {
  it('of two portals: counts and connections add up, what each counts wholly does not', () => {
    const sum = row(1, 10);
    addPortal(sum, row(2, 30));
    assert.equal(counterOf(sum, 'writes'), 3);
    assert.equal(levelOf(sum, 'connections'), 40);
    assert.equal(levelOf(sum, 'stored'), 30);
  });

  it('of two minutes: counts add up, levels are the highest', () => {
    const sum = row(1, 10);
    addTime(sum, row(2, 30));
    addTime(sum, row(0, 20));
    assert.deepEqual([counterOf(sum, 'errors'), levelOf(sum, 'connections')], [3, 30]);
  });

  it('tell how long calls took, evenly spread within a bucket', () => {
    assert.equal(quantile(emptyRow(), 0.5), undefined);
    const buckets = new Array(BUCKETS.length + 1).fill(0);
    buckets[1] = 100; // from 0.5 to 1 ms
    assert.equal(quantile(row(0, 0, buckets), 0.5), 0.000_75);
    buckets[BUCKETS.length] = 100; // beyond the last bound
    assert.equal(quantile(row(0, 0, buckets), 0.99), BUCKETS.at(-1));
  });

  const rows = fc.array(fc.maxSafeNat(), { minLength: ROW_LENGTH, maxLength: ROW_LENGTH });
  it('come back as they were written', () => {
    const ids = fc.uint8Array({ minLength: 12, maxLength: 12 }).map((id) => Buffer.from(id).toString('hex'));
    fc.assert(
      fc.property(fc.array(fc.tuple(ids, rows)), (entries) => {
        assert.deepEqual(decodeMinute(encodeMinute(entries)), entries);
        const wanted = entries.at(-1)?.[0];
        assert.deepEqual(
          decodeMinute(encodeMinute(entries), (id) => id === wanted),
          entries.filter(([id]) => id === wanted),
        );
      }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(96), rows)), (entries) => {
        assert.deepEqual(decodeRows(encodeRows(entries)), entries);
      }),
    );
  });

  it('that are damaged, or of a later version, are an error and nothing else', () => {
    const bytes = encodeRows([[0, row(1, 1)]]);
    assert.throws(() => decodeRows(Buffer.concat([Buffer.from([9]), bytes.subarray(1)])), RangeError);
    assert.throws(() => decodeRows(bytes.subarray(0, bytes.length - 5)));
    fc.assert(
      fc.property(fc.uint8Array(), (noise) => {
        try {
          decodeRows(Buffer.from(noise));
        } catch (error) {
          assert.ok(error instanceof Error);
        }
      }),
    );
  });
});
