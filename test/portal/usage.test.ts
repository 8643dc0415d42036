import assert from 'node:assert/strict';
import { compactedRevision, PortalRecords } from '../../src/portal/portal-records.js';
import { type RunningPortal, startPortal } from '../../src/portal/start.js';
import { availableEtcds } from '../support/etcd-versions.js';
import type { Credentials } from '../support/tenant.js';
import { PortalHouse, until } from './support/portal.js';
import { RawClient } from './support/raw-client.js';

const bytes = (text: string) => Buffer.from(text);
const FULL = '8 etcdserver: mvcc: database space exceeded';
const QUOTA = 100_000;

for (const { version, path } of await availableEtcds()) {
  describe(`Stored bytes at portals, etcd ${version}`, () => {
    let house: PortalHouse;
    let other: RunningPortal | undefined;
    let credentials: Credentials;
    let raw: RawClient;

    before(async () => {
      house = await PortalHouse.start({ ETCD_BINARY: path }, { quotaOf: () => QUOTA });
      credentials = await house.bind('i', 'b');
      raw = await RawClient.open(house.running.port, credentials);
    });

    after(async () => {
      raw?.close();
      await other?.stop();
      await house?.stop();
    });

    it('are counted again when a tenant overwrites or deletes: nobody stays full', async () => {
      const put = { key: bytes('k'), value: Buffer.alloc(60_000) };
      await raw.call('KV/Put', put);
      assert.equal(await raw.refusal('KV/Put', put), FULL);
      // What is there leaves no room for one more. After the deletion it does, once that is seen.
      await raw.call('KV/DeleteRange', { key: bytes('k') });
      await until(async () => (await raw.refusal('KV/Put', put)) === 'answered', 20_000);
    });

    it('are told to the other portals', async () => {
      other = await startPortal({ ...(await house.options()), port: 0, quotaOf: () => QUOTA });
      const there = await RawClient.open(other.port, credentials);
      await until(async () => Number((await there.call('Maintenance/Status')).dbSize) > 60_000, 15_000);
      await raw.call('KV/Put', { key: bytes('k2'), value: Buffer.alloc(20_000) });
      await until(async () => Number((await there.call('Maintenance/Status')).dbSize) > 80_000, 15_000);
      there.close();
    });

    it('and floors are not written for an instance that is gone', async () => {
      const records = new PortalRecords(house.root);
      const key = '/_broker/v1/portal/floors/gone/a';
      assert.equal(await records.raise(key, 7, 'gone'), undefined);
      assert.equal(await records.read(key), undefined);
      assert.deepEqual(await records.raise(key, 7, 'i'), { floor: 7, isRaised: true });
      assert.deepEqual(await records.raise(key, 6, 'i'), { floor: 7, isRaised: false });
      await house.root.kv.deleteRange({ key: bytes(key) });
    });

    it('are not recorded for an instance that went while it was counted', async () => {
      const credentials = await house.bind('soon-gone', 'b');
      const tenant = house.portal.directory.find(credentials.username);
      assert.ok(tenant);
      const { deploymentId } = tenant.instance.settings;
      const key = bytes(`/_broker/v1/portal/usage/scans/${deploymentId}`);
      const records = new PortalRecords(house.root);
      assert.equal(await records.putOf('soon-gone', key.toString(), bytes('1 1')), true);
      await house.broker.unbind('soon-gone', 'b');
      await house.broker.deprovision('soon-gone');
      assert.equal(await records.putOf('soon-gone', key.toString(), bytes('1 1')), false);
      assert.equal((await house.root.kv.range({ key })).count, '0');
    });

    it('the cluster’s compaction is seen', async () => {
      assert.equal(await compactedRevision(house.root), 0);
      const { header } = await house.root.kv.put({ key: bytes('/x'), value: bytes('1') });
      await house.root.kv.compact({ revision: header.revision });
      assert.equal(await compactedRevision(house.root), Number(header.revision));
    });
  });
}
