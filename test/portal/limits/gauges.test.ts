import assert from 'node:assert/strict';
import fc from 'fast-check';
import { GAUGE_KINDS, type GaugeCounts, PortalGauges } from '../../../src/portal/limits/gauges.js';

const all = (most: number) => Object.fromEntries(GAUGE_KINDS.map((kind) => [kind, most])) as GaugeCounts;

describe('The gauges of bindings', () => {
  it('refuse what is too much for one binding, or for the portal, and hold nothing then', () => {
    const portal = new PortalGauges(all(5), all(3));
    const one = portal.forBinding();
    const other = portal.forBinding();
    assert.equal(one.acquire('streams', 3), undefined);
    assert.deepEqual(one.acquire('streams'), {
      code: 8,
      text: 'etcdserver: too many requests',
      limit: 'streams',
    });
    assert.equal(one.acquire('watches'), undefined);
    assert.equal(other.acquire('streams', 2), undefined);
    assert.equal(other.acquire('streams')?.limit, 'portal streams');
    one.release('streams');
    assert.equal(other.acquire('streams'), undefined);
    assert.equal(portal.counts.streams, 5);
  });

  it('let an instance of more units have more connections, and never the whole portal', () => {
    let units = 1;
    const gauges = new PortalGauges().forBinding(() => units);
    assert.equal(gauges.acquire('connections', 2_000), undefined);
    assert.equal(gauges.acquire('connections')?.limit, 'connections');
    units = 2;
    assert.equal(gauges.acquire('connections', 2_000), undefined);
    units = 64;
    assert.equal(gauges.acquire('connections', 1_000), undefined);
    assert.equal(gauges.acquire('connections')?.limit, 'connections', 'half of the portal');
    units = 1;
    gauges.release('connections', 1_000);
    assert.equal(gauges.counts.connections, 4_000, 'fewer units cut nobody');
    assert.equal(gauges.acquire('connections')?.limit, 'connections');
  });

  it('do not let a wrong release go unseen', () => {
    const gauges = new PortalGauges().forBinding();
    gauges.acquire('requestBytes', 10);
    assert.throws(() => gauges.release('requestBytes', 11), RangeError);
    gauges.close();
    gauges.release('requestBytes', 10);
    assert.equal(gauges.acquire('requestBytes')?.limit, 'requestBytes', 'it is gone');
  });

  it('come back to zero after any order of acquire, release and gone', () => {
    const step = fc.record({
      do: fc.constantFrom('acquire', 'acquire', 'release', 'gone'),
      binding: fc.nat(2),
      kind: fc.constantFrom(...GAUGE_KINDS),
      amount: fc.integer({ min: 1, max: 4 }),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const portal = new PortalGauges(all(12), all(7));
        const bindings = [0, 1, 2].map(() => portal.forBinding());
        const held: (() => void)[] = [];
        for (const { do: what, binding, kind, amount, pick } of steps) {
          const gauges = bindings[binding] ?? assert.fail();
          if (what === 'acquire') {
            if (gauges.acquire(kind, amount) === undefined) {
              held.push(() => gauges.release(kind, amount));
            }
          } else if (what === 'release' && held.length > 0) {
            held.splice(pick % held.length, 1)[0]?.();
          } else if (what === 'gone') {
            gauges.close();
          }
          for (const each of GAUGE_KINDS) {
            const sum = bindings.reduce((total, { counts }) => total + counts[each], 0);
            assert.equal(portal.counts[each], sum);
            assert.ok(sum <= 12);
            assert.ok(bindings.every(({ counts }) => counts[each] >= 0 && counts[each] <= 7));
          }
        }
        for (const release of held) {
          release();
        }
        assert.deepEqual(portal.counts, all(0));
      }),
      { numRuns: 500 },
    );
  });
});
