import assert from 'node:assert/strict';
import type { EtcdClient } from '../../src/etcd/client.js';
import { EtcdError } from '../../src/etcd/errors.js';
import { chooseLeaseId, grantLease } from '../../src/etcd/leases.js';
import { HistoryLease } from '../../src/records/history-lease.js';

/** An etcd that grants leases, and loses the answers to the first so many grants. */
function leasing(lost: number): { granted: Set<string>; connection: Pick<EtcdClient, 'lease'> } {
  const granted = new Set<string>();
  let calls = 0;
  const leaseGrant = async ({ ID }: { ID?: string }) => {
    assert.ok(ID);
    if (granted.has(ID)) {
      throw new EtcdError('already-exists', 'lease already exists');
    }
    granted.add(ID);
    calls += 1;
    if (calls <= lost) {
      throw new EtcdError('timeout', 'no answer');
    }
    return { ID };
  };
  return { granted, connection: { lease: { leaseGrant } } as unknown as EtcdClient };
}

describe('Leases', () => {
  it('have ids that etcd takes: positive, of 63 bits, and never the same', () => {
    const ids = new Set(Array.from({ length: 1_000 }, chooseLeaseId));
    assert.equal(ids.size, 1_000);
    for (const id of ids) {
      assert.ok(BigInt(id) > 0n && BigInt(id) < 2n ** 63n, id);
    }
  });

  it('are granted once when the answer is lost and the call is sent again', async () => {
    const { granted, connection } = leasing(1);
    const id = chooseLeaseId();
    await assert.rejects(grantLease(connection, 5, undefined, id), { kind: 'timeout' });
    assert.equal(await grantLease(connection, 5, undefined, id), id);
    assert.deepEqual([...granted], [id]);
  });

  it('for the history are not granted anew after a lost answer', async () => {
    const { granted, connection } = leasing(1);
    const history = new HistoryLease(connection);
    await assert.rejects(history.current(), { kind: 'timeout' });
    const id = await history.current();
    assert.equal(await history.current(), id);
    assert.deepEqual([...granted], [id]);
    history.forget();
    assert.notEqual(await history.current(), id);
  });
});
