import assert from 'node:assert/strict';
import { Keepalive, TICK_MS } from '../../../src/etcd/transport/keepalive.js';

function ticks(keepalive: Keepalive, count: number, callsOpen = true): (string | undefined)[] {
  return Array.from({ length: count }, () => keepalive.tick(TICK_MS, callsOpen));
}

const within = (ms: number) => ms / TICK_MS;
const make = () => new Keepalive({ pingIntervalMs: 2_000, pingTimeoutMs: 3_000 });

describe('the keepalive', () => {
  it('pings after silence and gives up without an answer', () => {
    const actions = ticks(make(), within(5_000));
    assert.equal(actions.indexOf('ping'), within(2_000) - 1);
    assert.equal(actions.indexOf('dead'), within(5_000) - 1);
  });

  it('does not ping without open calls', () => {
    assert.ok(ticks(make(), within(60_000), false).every((action) => action === undefined));
  });

  it('pings a silent watch no more often than etcd allows', () => {
    const keepalive = make();
    const pings: number[] = [];
    for (let tick = 0; tick < within(60_000); tick++) {
      if (keepalive.tick(TICK_MS, true) === 'ping') {
        pings.push(tick * TICK_MS);
        keepalive.received();
        keepalive.answered();
      }
    }
    const gaps = pings.slice(1).map((at, index) => at - (pings[index] as number));
    assert.ok(gaps.length >= 10 && gaps.every((gap) => gap > 5_000 && gap < 5_500), `${gaps}`);
  });

  it('pings sooner after headers or data that followed the answer', () => {
    const keepalive = make();
    ticks(keepalive, within(2_000));
    keepalive.receivedMessage(); // sent perhaps before the ping was seen: it frees nothing
    keepalive.answered();
    keepalive.received();
    assert.equal(ticks(keepalive, within(5_000)).indexOf('ping'), -1);
    keepalive.receivedMessage();
    keepalive.received();
    assert.equal(ticks(keepalive, within(2_000)).indexOf('ping'), within(2_000) - 1);
  });

  it('counts a long pause of this process as half a second', () => {
    const keepalive = make();
    ticks(keepalive, within(2_000));
    assert.equal(keepalive.waiting, true);
    assert.equal(keepalive.tick(60_000, true), undefined);
  });
});
