import assert from 'node:assert/strict';
import { EtcdLockFailedError } from 'etcd3';
import { availableEtcds } from '../../support/etcd-versions.js';
import { PortalHouse } from '../support/portal.js';

for (const { version, path } of await availableEtcds()) {
  describe(`Applications through a portal, etcd ${version}`, () => {
    let house: PortalHouse;

    before(async () => {
      house = await PortalHouse.start({ ETCD_BINARY: path });
    });

    after(() => house?.stop());

    it('writes and reads the words of the sample application, without a prefix', async () => {
      const client = house.client(await house.bind('words', 'words'));
      await client.put('/example/words/hello').value('world');
      assert.equal(await client.get('/example/words/hello').string(), 'world');
      assert.deepEqual(await client.getAll().prefix('/example/words/').strings(), {
        '/example/words/hello': 'world',
      });
      assert.deepEqual(await client.getAll().keys(), ['/example/words/hello']);
    });

    it('keeps two applications apart that use the same keys', async () => {
      const one = house.client(await house.bind('one', 'b1'));
      const two = house.client(await house.bind('two', 'b2'));
      await one.put('a').value('of one');
      assert.equal(await two.get('a').string(), null);
      await two.put('a').value('of two');
      await two.put('b').value('of two');
      assert.deepEqual(await one.getAll().strings(), { a: 'of one' });
      await two.delete().all();
      assert.deepEqual(await one.getAll().strings(), { a: 'of one' });
    });

    it('watches', async () => {
      const client = house.client(await house.bind('watching', 'b'));
      const watcher = await client.watch().prefix('w/').create();
      const seen = new Promise((resolve) => watcher.on('put', ({ key }) => resolve(key.toString())));
      await client.put('other').value('1');
      await client.put('w/1').value('1');
      assert.equal(await seen, 'w/1');
      await watcher.cancel();
    });

    it('uses namespaces, leases and locks of etcd3', async () => {
      const client = house.client(await house.bind('helpers', 'b'));
      const namespace = client.namespace('app/');
      await namespace.put('a').value('x');
      assert.equal(await client.get('app/a').string(), 'x');
      assert.deepEqual(await namespace.getAll().keys(), ['a']);
      const lease = client.lease(10);
      await lease.put('leased').value('x');
      assert.equal(await client.get('leased').string(), 'x');
      await lease.revoke();
      assert.equal(await client.get('leased').string(), null);
      const lock = client.lock('lock');
      await lock.acquire();
      await assert.rejects(client.lock('lock').acquire(), EtcdLockFailedError);
      await lock.release();
      const again = await client.lock('lock').acquire();
      await again.release();
    });

    it('counts with its software transactions, two at a time, and elects', async () => {
      const client = house.client(await house.bind('counting', 'b'));
      await client.put('n').value(0);
      const add = () =>
        client.stm({ retries: 50 }).transact(async (transaction) => {
          const n = await transaction.get('n').number();
          await transaction.put('n').value(Number(n) + 1);
        });
      await Promise.all([add(), add(), add()]);
      assert.equal(await client.get('n').number(), 3);
      const election = client.election('leader', 10);
      const campaign = election.campaign('me');
      await campaign.wait();
      assert.equal(await election.leader(), 'me');
      await campaign.resign();
      assert.equal(await election.leader(), undefined);
    });
  });
}
