import assert from 'node:assert/strict';
import { type ClockRecord, elapsedByGauge, elapsedSince } from '../../src/records/clock-reading.js';

const record: ClockRecord = {
  schema: 1,
  elapsed_ms: 0,
  keeper: 'a',
  gauge: '1',
  gauge_granted_s: 1_000,
  gauge_left_s: 900,
};

describe("The cluster's clock", () => {
  it('goes on by what the gauge ran down while nobody kept it', () => {
    assert.equal(elapsedByGauge(record, 890), 10_000);
    assert.equal(elapsedSince(record, 890, undefined), 10_000);
  });

  it('counts what is certain when an election has set the gauge back', () => {
    assert.equal(elapsedSince(record, 993, undefined), 7_000);
  });

  it("follows its keeper's monotonic clock, for the gauge is coarse", () => {
    assert.equal(elapsedSince(record, 898, 1_003), 1_003);
    assert.equal(elapsedSince(record, 900, 1_003), 1_003);
  });

  it("follows the gauge when the keeper's machine was suspended", () => {
    assert.equal(elapsedSince(record, 840, 1_000), 59_000);
  });

  it('never goes back', () => {
    assert.equal(elapsedSince({ ...record, gauge_left_s: 1_000 }, 1_000, undefined), 0);
  });
});
