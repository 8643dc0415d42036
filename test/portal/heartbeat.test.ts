import assert from 'node:assert/strict';
import { Heartbeat } from '../../src/portal/heartbeat.js';

describe('The heartbeat of a portal’s thread', () => {
  it('tells of ten looks in a row without a beat, and of no less', () => {
    const heartbeat = new Heartbeat();
    assert.equal(heartbeat.isHung(0), false);
    for (let beats = 1; beats < 4; beats += 1) {
      for (let look = 0; look < 10; look += 1) {
        assert.equal(heartbeat.isHung(beats), false);
      }
    }
    assert.equal(heartbeat.isHung(3), true);
  });
});
