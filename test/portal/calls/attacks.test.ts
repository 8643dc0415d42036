import assert from 'node:assert/strict';
import { services } from '../../../src/etcd/messages/services.js';
import { prefixEnd } from '../../../src/etcd/ranges.js';
import { availableEtcds } from '../../support/etcd-versions.js';
import type { Credentials } from '../../support/tenant.js';
import { PortalHouse, until } from '../support/portal.js';
import { RawClient } from '../support/raw-client.js';

const DENIED = '7 etcdserver: permission denied';
const NO_TOKEN = '3 etcdserver: user name is empty';
const BAD_TOKEN = '16 etcdserver: invalid auth token';
const NOT_FOUND = '5 etcdserver: requested lease not found';
const ZERO = Buffer.from([0]);
const bytes = (text: string) => Buffer.from(text);

/** What one tenant tries on another, row by row of the table in the README's "How isolation is kept". */
for (const { version, path } of await availableEtcds()) {
  describe(`A tenant's attacks through a portal, etcd ${version}`, () => {
    let house: PortalHouse;
    let attacker: RawClient;
    let victim: RawClient;
    let prefix: string;
    let own: string;
    let lease: string;
    let emptyLease: string;

    before(async () => {
      house = await PortalHouse.start({ ETCD_BINARY: path });
      const [a, b] = [await house.bind('attacker', 'a'), await house.bind('victim', 'b')];
      attacker = await RawClient.open(house.running.port, a);
      victim = await RawClient.open(house.running.port, b);
      prefix = await keyPrefix(b);
      own = await keyPrefix(a);
      lease = (await victim.call('Lease/LeaseGrant', { TTL: 600 })).ID as string;
      emptyLease = (await victim.call('Lease/LeaseGrant', { TTL: 600 })).ID as string;
      await victim.call('KV/Put', { key: bytes('secret'), value: bytes('of the victim'), lease });
      await victim.call('KV/Put', { key: bytes('zzz'), value: bytes('last') });
    });

    after(async () => {
      attacker?.close();
      victim?.close();
      await house?.stop();
    });

    /** As it is in etcd. The credentials name no prefix to who comes through a portal. */
    async function keyPrefix({ username }: Credentials): Promise<string> {
      return house.portal.directory.find(username)?.keySpace.prefix as string;
    }

    const victimsKeys = async () => {
      const range = { key: bytes(prefix), range_end: prefixEnd(prefix) };
      const { kvs } = await house.root.kv.range(range);
      return kvs.map(({ key, value, lease: its }) => `${key}=${value} ${its !== '0'}`);
    };
    const unharmed = async () => {
      assert.deepEqual(await victimsKeys(), [
        `${prefix}secret=of the victim true`,
        `${prefix}zzz=last false`,
      ]);
      const { TTL, ID } = await victim.call('Lease/LeaseTimeToLive', { ID: lease });
      assert.equal(ID, lease);
      assert.ok(Number(TTL) > 500, `${TTL}`);
    };
    const full = () => bytes(`${prefix}secret`);

    afterEach(unharmed);

    it('a sort target that etcd does not know, over which it would end with a panic', async () => {
      const request_range = { key: ZERO, range_end: ZERO, sort_target: 5 };
      const MALFORMED = /^3 etcdserver: malformed request: an enumeration/;
      assert.match(await attacker.refusal('KV/Range', request_range), MALFORMED);
      const txn = { compare: [], success: [{ request_range }], failure: [] };
      assert.match(await attacker.refusal('KV/Txn', txn), MALFORMED);
      await unharmed();
    });

    it('Range, Put, DeleteRange and Txn mean the own keys, whatever their names', async () => {
      assert.equal((await attacker.call('KV/Range', { key: full() })).count, '0');
      const all = await attacker.call('KV/Range', { key: ZERO, range_end: ZERO });
      assert.equal(all.count, '0');
      await attacker.call('KV/Put', { key: full(), value: bytes('x') });
      await attacker.call('KV/DeleteRange', { key: bytes(prefix), range_end: ZERO });
      await attacker
        .call('KV/Txn', {
          compare: [],
          success: [
            { request_put: { key: full(), value: bytes('x') } },
            { request_delete_range: { key: bytes('a'), range_end: ZERO } },
          ],
          failure: [],
        })
        .catch(({ message }: Error) => assert.match(message, /duplicate key/));
      await attacker.call('KV/DeleteRange', { key: ZERO, range_end: ZERO });
    });

    it('transactions inside transactions do so too, to any depth', async () => {
      let op: object = { request_delete_range: { key: ZERO, range_end: ZERO, prev_kv: true } };
      for (let depth = 0; depth < 20; depth += 1) {
        op = { request_txn: { compare: [], success: [op], failure: [] } };
      }
      const request = { compare: [], success: [op, { request_range: { key: full() } }], failure: [] };
      const answer = JSON.stringify(await attacker.call('KV/Txn', request));
      assert.ok(!answer.includes(bytes('of the victim').toString('base64')) && !answer.includes(prefix));
      assert.equal(await attacker.refusal('KV/Txn', request, 'AAAA.1'), BAD_TOKEN);
    });

    it('a watch to the end sees no one else’s keys, live or from history', async () => {
      for (const create_request of [
        { key: bytes(own), range_end: ZERO, start_revision: '1' },
        { key: ZERO, range_end: ZERO, start_revision: '1' },
        { key: bytes(''), range_end: ZERO },
        { key: full(), start_revision: '1' },
        { key: bytes('a'), range_end: bytes('\xff\xff') },
      ]) {
        const stream = attacker.stream('Watch/Watch');
        stream.write({ create_request });
        assert.equal((await stream.next()).created, true);
        await victim.call('KV/Put', { key: bytes('zzz'), value: bytes('last') });
        // The attacker's own write comes after the victim's, so the first event shows what was seen.
        const name = create_request.key.equals(full()) ? full() : bytes('zz');
        await attacker.call('KV/Put', { key: name, value: bytes('own') });
        let event: { kv: { key: Buffer; value: Buffer } } | undefined;
        while (event?.kv.value.toString() !== 'own') {
          const { events } = (await stream.next()) as { events: { kv: { key: Buffer; value: Buffer } }[] };
          for (event of events) {
            assert.ok(
              !['of the victim', 'last'].includes(event.kv.value.toString()),
              event.kv.key.toString(),
            );
          }
        }
        stream.call.cancel();
        await attacker.call('KV/DeleteRange', { key: ZERO, range_end: ZERO });
      }
    });

    it('locks and elections are the own ones', async () => {
      const locked = await attacker.call('Lock/Lock', { name: bytes(`${prefix}secret`) });
      assert.ok(String(locked.key).startsWith(`${prefix}secret/`));
      assert.equal(await attacker.refusal('Lock/Unlock', { key: full() }), 'answered');
      assert.equal(await attacker.refusal('Lock/Unlock', { key: locked.key as Buffer }), 'answered');
      assert.equal(
        await attacker.refusal('Lock/Lock', { name: bytes('l'), lease: String(BigInt(lease) + (1n << 40n)) }),
        await foreignLeaseOnLock(),
      );
      const won = await attacker.call('Election/Campaign', { name: bytes('e'), value: bytes('v') });
      const leader = won.leader as object;
      await attacker
        .call('Election/Proclaim', { leader: { ...leader, key: full() }, value: bytes('v') })
        .catch(() => undefined);
      await attacker.call('Election/Resign', { leader: { ...leader, key: full() } }).catch(() => undefined);
      await attacker.call('Election/Resign', { leader });
      await attacker.call('KV/DeleteRange', { key: ZERO, range_end: ZERO });
    });

    async function foreignLeaseOnLock(): Promise<string> {
      return attacker.refusal('Lock/Lock', { name: bytes('l'), lease: '99999' });
    }

    it('users, roles, members, snapshots, hashes and all other administration are denied', async () => {
      const denied: string[] = [];
      for (const [service, calls] of Object.entries(services)) {
        for (const name of Object.keys(calls)) {
          const refusal = await attempt(`${service.split('.')[1]}/${name}`);
          if (refusal === DENIED) {
            denied.push(name);
          }
        }
      }
      assert.equal(denied.length, 25, denied.join(' '));
      assert.equal(
        await attacker.refusal('Maintenance/Alarm', { action: 'Activate', alarm: 'Nospace' }),
        DENIED,
      );
      assert.equal(
        await attacker.refusal('Maintenance/Alarm', { action: 'Deactivate', alarm: 'Nospace' }),
        DENIED,
      );
      assert.deepEqual(
        (
          await house.root.maintenance.alarm({
            action: 'Get' as never,
            memberID: 0 as never,
            alarm: 'None' as never,
          })
        ).alarms,
        [],
      );
    });

    /** Only of calls that take one message and that are over at once. */
    async function attempt(name: string): Promise<string> {
      return /Watch|KeepAlive|Observe|RangeStream|Lock|Campaign/.test(name) ? '' : attacker.refusal(name);
    }

    it('nothing at all goes without a token, or with another’s', async () => {
      for (const [service, calls] of Object.entries(services)) {
        for (const name of Object.keys(calls)) {
          const call = `${service.split('.')[1]}/${name}`;
          if (name !== 'Authenticate') {
            const anonymous = await RawClient.open(house.running.port);
            assert.equal(await anonymous.refusal(call), name === 'MemberList' ? 'answered' : NO_TOKEN, call);
            anonymous.close();
            assert.equal(await attacker.refusal(call, {}, 'AAAA.1'), BAD_TOKEN, call);
          }
        }
      }
      const forged = `${victim.token?.split('.')[0]}.${attacker.token?.split('.')[1]}`;
      assert.equal(await attacker.refusal('KV/Range', { key: full() }, forged), BAD_TOKEN);
    });

    it('compaction hides nothing from others', async () => {
      const { header } = (await victim.call('KV/Range', { key: bytes('secret') })) as {
        header: { revision: string };
      };
      await attacker.call('KV/Put', { key: bytes('k'), value: bytes('1') });
      const put = (await attacker.call('KV/Put', { key: bytes('k'), value: bytes('2') })) as {
        header: { revision: string };
      };
      await attacker.call('KV/Compact', { revision: put.header.revision });
      const old = await victim.call('KV/Range', { key: bytes('secret'), revision: header.revision });
      assert.equal(old.count, '1');
      assert.equal(
        await attacker.refusal('KV/Range', { key: bytes('k'), revision: header.revision }),
        '11 etcdserver: mvcc: required revision has been compacted',
      );
      await attacker.call('KV/DeleteRange', { key: bytes('k') });
    });

    it('another’s lease does not exist', async () => {
      const { leases } = (await attacker.call('Lease/LeaseLeases')) as { leases: { ID: string }[] };
      const { leases: theirs } = (await victim.call('Lease/LeaseLeases')) as { leases: { ID: string }[] };
      assert.deepEqual(theirs.map(({ ID }) => ID).sort(), [lease, emptyLease].sort());
      const tag = house.portal.directory.find(await nameOf(victim))?.keySpace.leaseTag as number;
      const ids = [
        lease,
        emptyLease,
        String((BigInt(tag) << 32n) | BigInt(emptyLease)),
        '-1',
        String(2n ** 62n),
      ];
      for (const ID of ids) {
        assert.ok(!leases.some((one) => one.ID === ID));
        assert.equal(await attacker.refusal('Lease/LeaseRevoke', { ID }), NOT_FOUND);
        assert.equal(
          await attacker.refusal('KV/Put', { key: bytes('k'), value: bytes('v'), lease: ID }),
          NOT_FOUND,
        );
        const { TTL, ID: named, keys } = await attacker.call('Lease/LeaseTimeToLive', { ID, keys: true });
        assert.deepEqual([TTL, named, keys], ['-1', ID, []]);
        const stream = attacker.stream('Lease/LeaseKeepAlive');
        stream.write({ ID });
        const kept = await stream.next();
        assert.deepEqual([kept.TTL, kept.ID], ['0', ID]);
        stream.call.cancel();
      }
      assert.ok(Number((await victim.call('Lease/LeaseTimeToLive', { ID: emptyLease })).TTL) > 0);
    });

    async function nameOf({ token = '' }: RawClient): Promise<string> {
      return token.slice(0, token.lastIndexOf('.'));
    }

    it('the cluster’s members, its size and its alarms are not shown', async () => {
      const { members } = (await attacker.call('Cluster/MemberList')) as {
        members: { ID: string; clientURLs: string[] }[];
      };
      assert.deepEqual(
        members.flatMap(({ clientURLs }) => clientURLs),
        [house.url],
      );
      const status = (await attacker.call('Maintenance/Status')) as {
        header: { member_id: string };
        version: string;
        dbSize: string;
      };
      assert.equal(status.version, version);
      assert.equal(status.header.member_id, members[0]?.ID);
      assert.ok(Number(status.dbSize) < 10_000);
      assert.deepEqual((await attacker.call('Maintenance/Alarm', {})).alarms, []);
    });

    it('unbinding ends the streams and the connection within a second', async () => {
      const leaver = await RawClient.open(house.running.port, await house.bind('leaver', 'l'));
      const watch = leaver.stream('Watch/Watch');
      watch.write({ create_request: { key: bytes('k') } });
      await watch.next();
      const alive = leaver.stream('Lease/LeaseKeepAlive');
      alive.write({ ID: (await leaver.call('Lease/LeaseGrant', { TTL: 60 })).ID as string });
      await alive.next();
      await leaver.call('Lock/Lock', { name: bytes('l') });
      const lock = leaver.refusal('Lock/Lock', { name: bytes('l') });
      const unbound = await house.broker.unbind('leaver', 'l');
      assert.equal(unbound.status, 200);
      assert.equal(await watch.ended(1_000), BAD_TOKEN);
      assert.equal(await alive.ended(1_000), BAD_TOKEN);
      assert.equal(await lock, BAD_TOKEN);
      await until(() => leaver.connection.state !== 'open', 1_000);
      const again = await RawClient.open(house.running.port);
      assert.equal(await again.refusal('KV/Range', { key: bytes('k') }, leaver.token), BAD_TOKEN);
      again.close();
      leaver.close();
    });
  });
}
