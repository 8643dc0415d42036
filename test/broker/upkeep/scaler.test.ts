import assert from 'node:assert/strict';
import fc from 'fast-check';
import { neededUnits } from '../../../src/broker/upkeep/scaler.js';

const UNIT = 256 * 2 ** 20;
const needed = (units: number, max_units: number, held: number) =>
  neededUnits({ units, auto_scaling: { max_units } }, held * UNIT, UNIT);

describe('The units that an instance needs', () => {
  it('are more when nine tenths of those that it has are used', () => {
    assert.equal(needed(1, 8, 0.89), undefined);
    assert.equal(needed(1, 8, 0.9), 2);
    assert.equal(needed(2, 8, 1.79), undefined);
    assert.equal(needed(2, 8, 1.8), 3);
    assert.equal(needed(1, 8, 4.6), 6);
  });

  it('are never more than was asked for, and none are added where nothing was', () => {
    assert.equal(needed(1, 2, 5), 2);
    assert.equal(needed(2, 2, 5), undefined);
    assert.equal(needed(4, 2, 5), undefined);
    for (const auto_scaling of [undefined, {}, { max_units: '3' }, { max_units: 0 }, { max_units: 1.5 }]) {
      assert.equal(neededUnits({ units: 1, auto_scaling }, 5 * UNIT, UNIT), undefined);
    }
  });

  it('are never fewer than it has, and enough where they may be', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 1, max: 64 }),
        fc.double({ min: 0, max: 100, noNaN: true }),
        (units, most, held) => {
          const found = needed(units, most, held);
          if (found !== undefined) {
            assert.ok(found > units && found <= most);
            assert.ok(found === most || held <= 0.9 * found + 1e-9);
          }
        },
      ),
    );
  });
});
