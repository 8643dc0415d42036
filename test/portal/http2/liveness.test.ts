import assert from 'node:assert/strict';
import { DEFAULT_LIMITS } from '../../../src/portal/http2/limits.js';
import { type ConnectionState, Liveness } from '../../../src/portal/http2/liveness.js';

const quiet: ConnectionState = {
  greeted: true,
  streamsEver: true,
  streams: 0,
  incomplete: false,
  frames: 0,
  waiting: false,
  sent: 0,
};

/** Ticks once a second for so long; returns the first action and when it came. */
function run(seconds: number, state: (second: number) => Partial<ConnectionState>, answers = true) {
  const liveness = new Liveness(DEFAULT_LIMITS);
  let pings = 0;
  for (let second = 1; second <= seconds; second++) {
    const action = liveness.tick(1_000, { ...quiet, ...state(second) });
    if (action === 'ping') {
      pings++;
      if (answers) {
        liveness.received();
      }
    } else if (action !== undefined) {
      return { second, reason: action.reason, pings };
    }
  }
  return { second: undefined, reason: undefined, pings };
}

describe('Liveness of a connection', () => {
  it('lets a client be idle for a day, with a ping each half minute', () => {
    const { second, reason, pings } = run(100_000, () => ({}));
    assert.equal(second, 86_400);
    assert.match(reason ?? '', /idle/);
    assert.ok(pings > 2_700 && pings < 2_900, `${pings}`);
  });

  it('lets a watch stand for longer than a day', () => {
    assert.equal(run(100_000, () => ({ streams: 1 })).second, undefined);
  });

  it('gives up a client that does not answer a ping', () => {
    assert.deepEqual(
      run(100, () => ({}), false),
      { second: 50, reason: 'no answer to a ping', pings: 1 },
    );
  });

  it('ends a connection without settings after 10 s, without a request after 5 minutes', () => {
    assert.equal(run(100, () => ({ greeted: false })).second, 10);
    assert.equal(run(1_000, () => ({ streamsEver: false })).second, 300);
  });

  it('ends a frame that stands still, not one of many', () => {
    assert.equal(run(100, () => ({ incomplete: true, frames: 5 })).second, 21);
    assert.equal(run(100, (second) => ({ incomplete: true, frames: second })).second, undefined);
  });

  it('ends a peer that takes nothing, not one that takes little', () => {
    assert.equal(run(100, () => ({ waiting: true, sent: 9 })).second, 61);
    assert.equal(run(300, (second) => ({ waiting: true, sent: Math.floor(second / 50) })).second, undefined);
  });
});
