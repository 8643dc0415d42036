import assert from 'node:assert/strict';
import { ClusterUnavailable } from '../../src/broker/errors.js';
import { FIRST_CLUSTER } from '../../src/broker/model.js';
import type { BackingCluster } from '../../src/broker/ports.js';
import { Pool } from '../../src/cluster/pool.js';

describe('The pool of backing clusters', () => {
  const cluster = (id: string) => ({ id }) as BackingCluster;
  const [first, second] = [cluster(FIRST_CLUSTER), cluster('second')];
  const pool = new Pool(first, second);

  it('finds the cluster that a record names; one that names none lives in the first', () => {
    assert.equal(pool.of({ cluster: 'second' }), second);
    assert.equal(pool.of({}), first);
  });

  it('refuses a record of a cluster that is not configured, and names it', () => {
    assert.throws(
      () => pool.of({ cluster: 'third' }),
      (error) => error instanceof ClusterUnavailable && /"third"/.test(error.message),
    );
  });
});
