import assert from 'node:assert/strict';
import { Secret } from '../../src/credentials/secret.js';
import { EtcdClient } from '../../src/etcd/client.js';
import { grantPortalAccess, PORTAL_USER } from '../../src/portal/access.js';
import { availableEtcds } from '../support/etcd-versions.js';
import type { Credentials } from '../support/tenant.js';
import { PortalHouse, until } from './support/portal.js';
import { RawClient } from './support/raw-client.js';

const bytes = (text: string) => Buffer.from(text);

for (const { version, path } of await availableEtcds()) {
  describe(`A portal, etcd ${version}`, () => {
    let house: PortalHouse;
    let credentials: Credentials;

    before(async () => {
      house = await PortalHouse.start({ ETCD_BINARY: path });
      credentials = await house.bind('i', 'b');
    });

    after(() => house?.stop());

    it('drains: what runs ends well, new connections are refused, and it closes', async () => {
      const client = await RawClient.open(house.running.port, credentials);
      const { key } = await client.call('Lock/Lock', { name: bytes('l') });
      const waiting = client.call('Lock/Lock', { name: bytes('l') });
      const range = { key: bytes('l/'), range_end: bytes('l0') };
      await until(async () => (await client.call('KV/Range', range)).count === '2');
      const drained = house.running.drain(10_000);
      await until(() => client.connection.state === 'draining');
      await assert.rejects(RawClient.open(house.running.port, credentials));
      const prefix = house.portal.directory.find(credentials.username)?.keySpace.prefix;
      await house.root.kv.deleteRange({ key: Buffer.concat([bytes(String(prefix)), key as Buffer]) });
      assert.ok((await waiting).key);
      await drained;
      assert.equal(client.connection.state, 'closed');
      client.close();
      await house.startPortal();
    });

    it('ends streams that were on their way when it began to drain, so that they do not hold it up', async () => {
      const client = await RawClient.open(house.running.port, credentials);
      const startedAt = performance.now();
      const drained = house.running.drain(20_000);
      const watch = client.stream('Watch/Watch');
      watch.write({ create_request: { key: bytes('k') } });
      const put = client.call('KV/Put', { key: bytes('k'), value: bytes('on its way') });
      assert.equal(await watch.ended(), '14 etcdserver: server stopped');
      await put;
      await drained;
      assert.ok(performance.now() - startedAt < 10_000);
      client.close();
      await house.startPortal();
    });

    it('serves on while its own etcd user is refused', async () => {
      const client = await RawClient.open(house.running.port, credentials);
      await house.root.auth.userRevokeRole({ name: PORTAL_USER, role: PORTAL_USER });
      await client.call('KV/Put', { key: bytes('k'), value: bytes('v') });
      await house.root.auth.userGrantRole({ user: PORTAL_USER, role: PORTAL_USER });
      await client.call('KV/Put', { key: bytes('k'), value: bytes('v') });
      client.close();
    });

    it('whoever is not on the whitelist is kept out, at once when it changes', async () => {
      const client = await RawClient.open(house.running.port, await house.bind('listed', 'w'));
      await client.call('KV/Range', { key: bytes('k') });
      const record = '/_broker/v1/instances/listed';
      const { kvs } = await house.root.kv.range({ key: bytes(record) });
      const instance = JSON.parse(String(kvs[0]?.value));
      instance.parameters.whitelist = [{ ip: '192.0.2.0/24' }];
      await house.root.kv.put({ key: bytes(record), value: bytes(JSON.stringify(instance)) });
      await until(() => client.connection.state === 'closed');
      const { credentials: listed } = (await house.broker.bind('listed', 'w')).body;
      const refused = RawClient.open(house.running.port, listed);
      await assert.rejects(refused, { message: 'etcdserver: permission denied' });
      client.close();
    });

    it('what is kept of an instance goes with it', async () => {
      const client = await RawClient.open(house.running.port, await house.bind('gone', 'g'));
      const { header } = await client.call('KV/Put', { key: bytes('k'), value: bytes('v') });
      await client.call('KV/Compact', { revision: (header as { revision: string }).revision });
      client.close();
      const { deployment_id } = (await house.broker.bind('gone', 'g')).body.credentials;
      const kept = async () => {
        const { kvs } = await house.root.kv.range({
          key: bytes('/_broker/v1/portal/'),
          range_end: bytes('/_broker/v1/portal0'),
        });
        return kvs.map(({ key }) => String(key)).filter((key) => key.includes(deployment_id));
      };
      // The count of its bytes and the floor of its key space; a share ends with its portal's lease.
      await until(async () => (await kept()).filter((key) => !key.includes('/shares/')).length === 2);
      assert.equal((await house.broker.unbind('gone', 'g')).status, 200);
      assert.equal((await house.broker.deprovision('gone')).status, 200);
      assert.deepEqual(
        (await kept()).filter((key) => !key.includes('/shares/')),
        [],
      );
    });

    it('its own etcd user may do what it needs and no more, however often it is made', async () => {
      const password = new Secret('another-password');
      const name = 'portal-of-a-test';
      await grantPortalAccess(house.root, password, name);
      await house.root.auth.roleGrantPermission({
        name,
        perm: { permType: 'Readwrite', key: bytes('/d/'), range_end: bytes('/d0') } as never,
      });
      await house.root.auth.userGrantRole({ user: name, role: 'root' });
      await grantPortalAccess(house.root, password, name);
      const own = new EtcdClient({ ...house.root.address, username: name, password });
      try {
        const may = async (call: Promise<unknown>) =>
          call.then(
            () => true,
            ({ message }: Error) => {
              assert.match(message, /permission denied/);
              return false;
            },
          );
        const range = (key: string) => may(own.kv.range({ key: bytes(key) }));
        const put = (key: string) => may(own.kv.put({ key: bytes(key), value: bytes('x') }));
        assert.deepEqual(
          [await range('/_broker/v1/bindings/i/b'), await range('/_broker/v1/instances/i')],
          [true, true],
        );
        assert.deepEqual(
          [await range('/_broker/v1/portal/x'), await put('/_broker/v1/portal/x')],
          [true, true],
        );
        for (const key of [
          '/_broker/v1/operations/x',
          '/_broker/v1/open/x',
          '/_broker/v1/owners/x',
          '/d/x',
          '/',
        ]) {
          assert.deepEqual([await range(key), await put(key)], [false, false], key);
        }
        assert.deepEqual(
          [await put('/_broker/v1/bindings/i/b'), await put('/_broker/v1/instances/i')],
          [false, false],
        );
        assert.equal(await may(own.auth.userList()), false);
      } finally {
        own.close();
      }
    });
  });
}
