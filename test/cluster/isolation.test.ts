import assert from 'node:assert/strict';
import { isolationGap } from '../../src/cluster/isolation.js';

describe('What does not keep tenants apart', () => {
  const NESTED = /even without a password/;
  const WATCH = /watch can read the keys of others/;
  for (const [version, nested, watch] of [
    ['3.4.23', true, true],
    ['3.4.42', false, true],
    ['3.5.16', true, true],
    ['3.5.27', true, true],
    ['3.5.28', false, true],
    ['3.5.32', false, true],
    ['3.5.33', false, false],
    ['3.6.8', true, true],
    ['3.6.13', false, true],
    ['3.6.14', false, false],
    ['3.7.0', false, true],
    ['3.7.1', false, false],
    ['3.8.0-rc.0', false, false],
    ['4.0.0', false, false],
  ] as const) {
    it(`in etcd ${version}`, () => {
      const gap = isolationGap(version, 'etcd') ?? '';
      assert.equal(NESTED.test(gap), nested);
      assert.equal(WATCH.test(gap), watch);
      assert.match(gap, /fill the cluster/, 'that is so in every version');
      assert.equal(isolationGap(version, 'portal'), undefined);
    });
  }
});
