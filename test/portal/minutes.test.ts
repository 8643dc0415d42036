import assert from 'node:assert/strict';
import { rangeOfPrefix } from '../../src/etcd/ranges.js';
import { keys } from '../../src/records/keys.js';
import { decodeMinute } from '../../src/usage/encoding.js';
import { addTime, counterOf, emptyRow, quantile, type UsageRow } from '../../src/usage/row.js';
import { PortalHouse } from './support/portal.js';

describe('What portals write of each minute', () => {
  let house: PortalHouse;

  before(async () => {
    house = await PortalHouse.start();
  });
  after(() => house?.stop());

  /** What is written of a deployment. */
  async function written(deployment: string): Promise<UsageRow> {
    const { kvs } = await house.root.kv.range(rangeOfPrefix(keys.portalMinutes));
    const sum = emptyRow();
    for (const { value, lease } of kvs) {
      assert.notEqual(lease, '0');
      for (const [, row] of decodeMinute(value, (id) => id === deployment)) {
        addTime(sum, row);
      }
    }
    return sum;
  }

  it('is the calls of an instance by kind, their times and their bytes, none lost over a restart', async () => {
    const credentials = await house.bind('a', 'b');
    const deployment = credentials.deployment_id;
    for (let round = 1; round <= 2; round += 1) {
      const client = house.client(credentials);
      await client.put('key').value('value');
      await client.get('key');
      await client.get('key');
      await client.delete().key('key');
      const lease = client.lease(60);
      await lease.grant();
      await lease.revoke();
      const watcher = await client.watch().key('key').create();
      await watcher.cancel();
      await house.stopPortal();
      await house.startPortal();
      const row = await written(deployment);
      assert.deepEqual(
        ['reads', 'writes'].map((kind) => counterOf(row, kind as 'reads') / round),
        [2, 2],
      );
      // etcd3 keeps a lease alive on a stream of its own, which may or may not have begun when it is revoked.
      assert.ok(counterOf(row, 'leases') >= 2 * round);
      assert.ok(counterOf(row, 'watches') >= round);
      assert.equal(counterOf(row, 'errors'), 0);
      assert.ok(counterOf(row, 'received') > 10 && counterOf(row, 'sent') > 10);
      assert.ok((quantile(row, 0.99) as number) < 4);
    }
    const idle = await house.bind('b', 'b');
    await house.stopPortal();
    await house.startPortal();
    assert.deepEqual(await written(idle.deployment_id), emptyRow());
  });
});
