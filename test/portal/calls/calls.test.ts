import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type { Message } from '../../../src/etcd/messages/codec.js';
import { BINDING_LIMITS, PortalGauges } from '../../../src/portal/limits/gauges.js';
import { availableEtcds } from '../../support/etcd-versions.js';
import type { Credentials } from '../../support/tenant.js';
import { PortalHouse, until } from '../support/portal.js';
import { RawClient, type RawStream } from '../support/raw-client.js';

const COMPACTED = '11 etcdserver: mvcc: required revision has been compacted';
const FUTURE = '11 etcdserver: mvcc: required revision is a future revision';
const DENIED = '7 etcdserver: permission denied';
const TOO_MANY = '8 etcdserver: too many requests';
const bytes = (text: string) => Buffer.from(text);
const revisionOf = ({ header }: Message) => Number((header as { revision: string }).revision);

for (const { version, path } of await availableEtcds()) {
  describe(`Calls through a portal, etcd ${version}`, () => {
    let house: PortalHouse;
    let credentials: Credentials;
    let raw: RawClient;

    before(async () => {
      const gauges = new PortalGauges(undefined, { ...BINDING_LIMITS, watches: 5, streams: 20 });
      house = await PortalHouse.start({ ETCD_BINARY: path }, { gauges });
      credentials = await house.bind('i', 'b', { key_space: 'shared' });
      raw = await RawClient.open(house.running.port, credentials);
    });

    after(async () => {
      raw?.close();
      await house?.stop();
    });

    const put = async (key: string, value = 'v') =>
      revisionOf(await raw.call('KV/Put', { key: bytes(key), value: bytes(value) }));
    const watch = async (...creations: object[]): Promise<[RawStream, ...Message[]]> => {
      const stream = raw.stream('Watch/Watch');
      const created: Message[] = [];
      for (const create_request of creations) {
        stream.write({ create_request });
        created.push(await stream.next());
      }
      return [stream, ...created];
    };

    it('a readonly binding reads and watches, and writes nothing', async () => {
      const reader = await RawClient.open(
        house.running.port,
        await house.bind('i', 'reader', { key_space: 'shared', access: 'readonly' }),
      );
      await put('r');
      assert.equal((await reader.call('KV/Range', { key: bytes('r') })).count, '1');
      const request_range = { key: bytes('r') };
      await reader.call('KV/Txn', { compare: [], success: [{ request_range }], failure: [] });
      const request_put = { key: bytes('r'), value: bytes('x') };
      for (const [call, request] of [
        ['KV/Put', request_put],
        ['KV/DeleteRange', { key: bytes('r') }],
        ['KV/Txn', { compare: [], success: [], failure: [{ request_put }] }],
        ['KV/Compact', { revision: '1' }],
        ['Lease/LeaseGrant', { TTL: 10 }],
        ['Lease/LeaseRevoke', { ID: '1' }],
        ['Lock/Lock', { name: bytes('r') }],
        ['Election/Campaign', { name: bytes('r') }],
      ] as const) {
        assert.equal(await reader.refusal(call, request), DENIED, call);
      }
      assert.equal(await reader.stream('Lease/LeaseKeepAlive').ended(), DENIED);
      const stream = reader.stream('Watch/Watch');
      stream.write({ create_request: { key: bytes('r') } });
      await stream.next();
      await put('r', 'seen');
      assert.equal(((await stream.next()).events as unknown[]).length, 1);
      reader.close();
    });

    it('compaction hides what was before, as etcd’s does', async () => {
      const first = await put('c', '1');
      const second = await put('c', '2');
      const range = (revision: number) => ({ key: bytes('c'), revision: String(revision) });
      assert.equal(await raw.refusal('KV/Compact', { revision: String(second + 1_000) }), FUTURE);
      await raw.call('KV/Compact', { revision: String(second), physical: true });
      assert.equal(await raw.refusal('KV/Compact', { revision: String(second) }), COMPACTED);
      assert.equal(await raw.refusal('KV/Compact', { revision: String(first) }), COMPACTED);
      assert.equal(await raw.refusal('KV/Compact', {}), COMPACTED);
      assert.equal(await raw.refusal('KV/Range', range(first)), COMPACTED);
      assert.equal((await raw.call('KV/Range', range(second))).count, '1');
      const nested = {
        request_txn: { compare: [], success: [{ request_range: range(first) }], failure: [] },
      };
      assert.equal(await raw.refusal('KV/Txn', { compare: [], success: [nested], failure: [] }), COMPACTED);

      const [stream, ...created] = await watch(
        { key: bytes('c') },
        { key: bytes('c'), start_revision: String(first), watch_id: '7' },
      );
      assert.deepEqual(
        created.map(({ created, canceled, watch_id }) => [created, canceled, watch_id]),
        [
          [true, false, '0'],
          [true, false, '7'],
        ],
      );
      const { canceled, watch_id, compact_revision } = await stream.next();
      assert.deepEqual([canceled, watch_id, compact_revision], [true, '7', String(second)]);
      // The id is free again, and etcd's own answer to the end of the silent watch was kept back.
      stream.write({ create_request: { key: bytes('c'), start_revision: String(second), watch_id: '7' } });
      assert.deepEqual(await stream.next().then((next) => [next.created, next.canceled, next.watch_id]), [
        true,
        false,
        '7',
      ]);
      const { events, watch_id: of } = await stream.next();
      assert.deepEqual([(events as unknown[]).length, of], [1, '7']);
      stream.call.cancel();
    });

    it('a floor counts at another portal too, and after a restart', async () => {
      const first = await put('f', '1');
      await raw.call('KV/Compact', { revision: String(await put('f', '2')) });
      raw.close();
      await house.stopPortal();
      await house.startPortal();
      raw = await RawClient.open(house.running.port, credentials);
      assert.equal(await raw.refusal('KV/Range', { key: bytes('f'), revision: String(first) }), COMPACTED);
    });

    it('many watches on one stream, with ids of either side', async () => {
      const [stream, ...created] = await watch(
        { key: bytes('w1') },
        { key: bytes('w2'), watch_id: '42' },
        { key: bytes('w'), range_end: bytes('x'), progress_notify: true },
      );
      assert.deepEqual(
        created.map(({ watch_id }) => watch_id),
        ['0', '42', '1'],
      );
      stream.write({});
      await put('w2');
      const told = [await stream.next(), await stream.next()];
      assert.deepEqual(told.map(({ watch_id }) => watch_id).sort(), ['1', '42']);
      stream.write({ cancel_request: { watch_id: '42' } });
      const ended = await stream.next();
      assert.deepEqual([ended.watch_id, ended.canceled], ['42', true]);
      stream.write({ progress_request: {} });
      const { events, watch_id } = await stream.next();
      assert.deepEqual([events, watch_id], [[], '-1']);
      stream.call.cancel();
    });

    it('a watch, stream or lease too many is refused, and there is room when one has ended', async () => {
      await house.stopPortal();
      const gauges = new PortalGauges(undefined, { ...BINDING_LIMITS, watches: 2, streams: 3, leases: 2 });
      await house.startPortal({ gauges });
      raw.close();
      raw = await RawClient.open(house.running.port, credentials);
      const [stream, , , third] = await watch({ key: bytes('1') }, { key: bytes('2') }, { key: bytes('3') });
      assert.deepEqual(
        [third?.created, third?.canceled, third?.cancel_reason],
        [true, true, TOO_MANY.slice(2)],
      );
      stream.write({ cancel_request: { watch_id: '1' } });
      await stream.next();
      stream.write({ create_request: { key: bytes('4') } });
      assert.equal((await stream.next()).canceled, false);
      const others = [raw.stream('Watch/Watch'), raw.stream('Lease/LeaseKeepAlive')];
      assert.equal(await raw.stream('Watch/Watch').ended(), TOO_MANY);
      const ids = ['901', '902'];
      for (const ID of ids) {
        await raw.call('Lease/LeaseGrant', { TTL: 600, ID });
      }
      assert.equal(await raw.refusal('Lease/LeaseGrant', { TTL: 600 }), TOO_MANY);
      assert.equal(await raw.refusal('Lock/Lock', { name: bytes('l') }), TOO_MANY);
      await raw.call('Lease/LeaseRevoke', { ID: '901' });
      assert.equal((await raw.call('Lease/LeaseGrant', { TTL: 600, ID: '901' })).ID, '901');
      assert.equal(await raw.refusal('Lease/LeaseGrant', { TTL: 600 }), TOO_MANY);
      for (const ID of ids) {
        await raw.call('Lease/LeaseRevoke', { ID });
      }
      assert.equal(gauges.counts.leases, 0);
      stream.call.cancel();
      for (const { call } of others) {
        call.cancel();
      }
      const held = () => gauges.counts;
      await until(() => isDeepStrictEqual([held().streams, held().watches], [0, 0]));
      raw.close();
      await until(() => held().connections === 0);
      assert.deepEqual([held().requests, held().requestBytes], [0, 0]);
      await house.stopPortal();
      await house.startPortal();
      raw = await RawClient.open(house.running.port, credentials);
    });

    it('locks wait for each other, and one who leaves does not stand in the way', async () => {
      const first = await raw.call('Lock/Lock', { name: bytes('l') });
      const leaver = await RawClient.open(house.running.port, credentials);
      const left = leaver.refusal('Lock/Lock', { name: bytes('l') });
      const waiting = async () =>
        (await raw.call('KV/Range', { key: bytes('l/'), range_end: bytes('l0') })).count;
      await until(async () => (await waiting()) === '2');
      leaver.close();
      await left;
      await until(async () => (await waiting()) === '1');
      const second = raw.call('Lock/Lock', { name: bytes('l') });
      await until(async () => (await waiting()) === '2');
      await raw.call('Lock/Unlock', { key: first.key as Buffer });
      const { key } = await second;
      const { kvs } = (await raw.call('KV/Range', { key: key as Buffer })) as { kvs: { lease: string }[] };
      // The lease is one of the tenant's own, of a minute.
      const { grantedTTL } = await raw.call('Lease/LeaseTimeToLive', { ID: kvs[0]?.lease });
      assert.equal(grantedTTL, '60');
      await raw.call('Lock/Unlock', { key: key as Buffer });
    });

    it('elections are won, observed and given up', async () => {
      const observed = raw.stream('Election/Observe');
      observed.write({ name: bytes('e') });
      observed.call.end();
      const won = (await raw.call('Election/Campaign', { name: bytes('e'), value: bytes('1') })) as {
        leader: object;
      };
      const value = async () => String(((await observed.next()).kv as { value: Buffer }).value);
      assert.equal(await value(), '1');
      await raw.call('Election/Proclaim', { leader: won.leader, value: bytes('2') });
      assert.equal(await value(), '2');
      const { kv } = (await raw.call('Election/Leader', { name: bytes('e') })) as { kv: { value: Buffer } };
      assert.equal(String(kv.value), '2');
      await raw.call('Election/Resign', { leader: won.leader });
      assert.equal(await raw.refusal('Election/Leader', { name: bytes('e') }), '2 election: no leader');
      observed.call.cancel();
    });

    it('leases: ids of either side, time to live, keep-alive, list, revocation', async () => {
      const { ID } = (await raw.call('Lease/LeaseGrant', { TTL: 30 })) as { ID: string };
      assert.ok(Number(ID) > 0 && Number(ID) < 2 ** 32);
      assert.equal((await raw.call('Lease/LeaseGrant', { TTL: 30, ID: '77' })).ID, '77');
      assert.equal(
        await raw.refusal('Lease/LeaseGrant', { TTL: 30, ID: '77' }),
        '9 etcdserver: lease already exists',
      );
      await raw.call('KV/Put', { key: bytes('leased'), value: bytes('v'), lease: '77' });
      const { keys, TTL } = (await raw.call('Lease/LeaseTimeToLive', { ID: '77', keys: true })) as {
        keys: Buffer[];
        TTL: string;
      };
      assert.deepEqual([keys.map(String), TTL], [['leased'], '29']);
      const { leases } = (await raw.call('Lease/LeaseLeases')) as { leases: { ID: string }[] };
      assert.ok(leases.some((lease) => lease.ID === '77'));
      const alive = raw.stream('Lease/LeaseKeepAlive');
      for (const id of [ID, '5', '77', String(2n ** 40n)]) {
        alive.write({ ID: id });
        const answer = await alive.next();
        assert.deepEqual([answer.ID, Number(answer.TTL) > 0], [id, id === ID || id === '77']);
      }
      alive.call.end();
      assert.equal(await alive.ended(), '0 ');
      await raw.call('Lease/LeaseRevoke', { ID: '77' });
      assert.equal((await raw.call('KV/Range', { key: bytes('leased') })).count, '0');
    });

    it('answers for itself: authentication, members, status, health', async () => {
      const { username: name, password } = credentials;
      const failed = '3 etcdserver: authentication failed, invalid user ID or password';
      assert.equal(await raw.refusal('Auth/Authenticate', { name, password: 'x' }), failed);
      assert.equal(await raw.refusal('Auth/Authenticate', { name: 'root', password }), failed);
      assert.equal((await raw.call('Auth/AuthStatus')).enabled, true);
      const health = await raw.connection.unary('/grpc.health.v1.Health/Check', Buffer.alloc(0), {
        deadline: performance.now() + 5_000,
      });
      assert.deepEqual([...health], [8, 1]);
      const unknown = raw.connection.unary('/etcdserverpb.KV/Steal', Buffer.alloc(0), {
        deadline: performance.now() + 5_000,
      });
      await assert.rejects(unknown, {
        code: 12,
        message: 'unknown method Steal for service etcdserverpb.KV',
      });
    });

    it('a request larger than etcd takes is refused', async () => {
      const value = Buffer.alloc(1_600_000);
      assert.equal(
        await raw.refusal('KV/Put', { key: bytes('large'), value }),
        '3 etcdserver: request is too large',
      );
    });

    it('puts beyond the quota are refused, deletions are not', async () => {
      raw.close();
      await house.stopPortal();
      await house.startPortal({ quotaOf: () => 100_000 });
      raw = await RawClient.open(house.running.port, credentials);
      const value = Buffer.alloc(40_000);
      await raw.call('KV/Put', { key: bytes('1'), value });
      await raw.call('KV/Put', { key: bytes('2'), value });
      const full = '8 etcdserver: mvcc: database space exceeded';
      const request_put = { key: bytes('3'), value };
      assert.equal(await raw.refusal('KV/Put', request_put), full);
      let op: object = { request_put };
      op = { request_txn: { compare: [], success: [op], failure: [] } };
      assert.equal(await raw.refusal('KV/Txn', { compare: [], success: [], failure: [op] }), full);
      await raw.call('KV/DeleteRange', { key: bytes('1') });
      const { dbSize, dbSizeQuota } = await raw.call('Maintenance/Status');
      assert.deepEqual([Number(dbSize) > 80_000, dbSizeQuota], [true, '100000']);
    });
  });
}
