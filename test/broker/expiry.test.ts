import assert from 'node:assert/strict';
import { durationMs, expiryFrom } from '../../src/broker/requests/expiry.js';

describe('A binding that expires', () => {
  for (const [text, milliseconds] of [
    ['10s', 10_000],
    ['30m', 1_800_000],
    ['720h', 2_592_000_000],
    ['2d', 172_800_000],
  ] as const) {
    it(`takes ${text} as ${milliseconds} ms`, () => assert.equal(durationMs(text), milliseconds));
  }

  for (const text of ['', '10', 's', '0s', '-1s', '1.5h', '1w', '1 h']) {
    it(`refuses ${JSON.stringify(text)} as a duration`, () =>
      assert.throws(() => durationMs(text), RangeError));
  }

  it('counts by the cluster clock, and tells people the time by the wall clock', () => {
    assert.deepEqual(expiryFrom('100s', 5_000, Date.UTC(2030, 0, 1)), {
      due_ms: 105_000,
      expires_at: '2030-01-01T00:01:40.000Z',
      renew_before: '2030-01-01T00:01:20.000Z',
    });
  });
});
