import assert from 'node:assert/strict';
import { codecOf } from '../../../src/etcd/messages/codec.js';
import { framed } from '../../etcd/transport/support/scripted-server.js';
import { availableEtcds } from '../../support/etcd-versions.js';
import type { Credentials } from '../../support/tenant.js';
import { PortalHouse, until } from '../support/portal.js';
import { RawClient } from '../support/raw-client.js';

const LOST = '14 etcdserver: request timed out, possibly due to connection lost';
const bytes = (text: string) => Buffer.from(text);

for (const { version, path } of await availableEtcds()) {
  describe(`A portal's way to etcd, etcd ${version}`, () => {
    let house: PortalHouse;
    let credentials: Credentials;
    let raw: RawClient;

    before(async () => {
      house = await PortalHouse.start({ ETCD_BINARY: path }, {}, true);
      credentials = await house.bind('i', 'b');
      raw = await RawClient.open(house.running.port, credentials);
    });

    after(async () => {
      raw?.close();
      await house?.stop();
    });

    afterEach(() => {
      house.proxy.answers.clear();
      house.proxy.before = () => 'pass';
      house.proxy.after = () => 'pass';
    });

    /** The same password once more: etcd forgets all tokens of the user, as when it restarts. */
    const killTokens = () =>
      house.root.auth.userChangePassword({ name: credentials.username, password: credentials.password });

    /** Past the portal, so that only the watch is put to the test. */
    const write = (number: number) => {
      const prefix = house.portal.directory.find(credentials.username)?.keySpace.prefix;
      return house.root.kv.put({ key: bytes(`${prefix}n/${number}`), value: bytes(String(number)) });
    };
    const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);

    it('RangeStream is unimplemented where etcd has none, and passed on where it has', async () => {
      const all = { key: bytes('\0'), range_end: bytes('\0') };
      const unknown = raw.stream('KV/RangeStream');
      unknown.write(all);
      unknown.call.end();
      assert.match(await unknown.ended(), /^12 unknown method RangeStream for service etcdserverpb\.KV$/);

      const prefix = house.portal.directory.find(credentials.username)?.keySpace.prefix;
      const response = codecOf('RangeStreamResponse');
      const page = (key: string) =>
        framed(response.encode({ range_response: { kvs: [{ key: bytes(key), value: bytes('v') }] } }));
      const pages = Buffer.concat([page(`${prefix}a`), page(`${prefix}b`)]);
      house.proxy.answers.set('/etcdserverpb.KV/RangeStream', pages);
      const stream = raw.stream('KV/RangeStream');
      stream.write(all);
      stream.call.end();
      const keys = [];
      for (let at = 0; at < 2; at += 1) {
        const { range_response } = (await stream.next()) as { range_response: { kvs: { key: Buffer }[] } };
        keys.push(range_response.kvs[0]?.key.toString());
      }
      assert.deepEqual([keys, await stream.ended()], [['a', 'b'], '0 ']);

      house.proxy.answers.set('/etcdserverpb.KV/RangeStream', page('/d/of-somebody-else/a'));
      const leaking = raw.stream('KV/RangeStream');
      leaking.write(all);
      leaking.call.end();
      assert.equal(await leaking.ended(), '13 etcdserver: internal error');
      assert.deepEqual(leaking.messages, []);
    });

    it('a watch misses nothing and repeats nothing while connections to etcd are cut', async () => {
      const seen: number[] = [];
      let next = 0;
      let isOver = false;
      const follow = async () => {
        while (!isOver) {
          const stream = raw.stream('Watch/Watch');
          stream.write({
            create_request: { key: bytes('n/'), range_end: bytes('n0'), start_revision: String(next) },
          });
          while (!isOver && (stream.end === undefined || stream.messages.length > 0)) {
            const message = await stream.next().catch(() => undefined);
            for (const { kv } of (message?.events ?? []) as {
              kv: { value: Buffer; mod_revision: string };
            }[]) {
              seen.push(Number(kv.value.toString()));
              next = Number(kv.mod_revision) + 1;
            }
            isOver = seen.includes(99);
          }
          assert.ok(isOver || stream.end?.code === 14, `${stream.end?.code} ${stream.end?.message}`);
          stream.call.cancel();
        }
      };
      await write(0);
      const followed = follow();
      await until(() => seen.includes(0) || write(0).then(() => false));
      seen.splice(0, seen.length, 0);
      for (let number = 1; number < 100; number += 1) {
        if (number % 10 === 5) {
          house.proxy.cut();
        }
        await write(number);
      }
      await followed;
      assert.deepEqual(seen.slice(seen.lastIndexOf(0)), upTo(100));
    });

    it('etcd3 resumes its watches', async () => {
      const client = house.client(credentials);
      const watcher = await client.watch().prefix('n/').create();
      const seen: number[] = [];
      watcher.on('put', ({ value }) => seen.push(Number(value.toString())));
      for (let number = 0; number < 30; number += 1) {
        if (number % 10 === 5) {
          // Cut again before it has caught up, etcd3 forgets from where: it takes the revision of the creation.
          await until(() => seen.includes(number - 1), 20_000);
          house.proxy.cut();
        }
        await write(number);
      }
      await until(() => seen.includes(29), 20_000);
      assert.deepEqual(seen, upTo(30));
      await watcher.cancel();
    });

    it('a put whose answer was lost is UNAVAILABLE and is not sent again', async () => {
      let puts = 0;
      house.proxy.after = ({ path }) => {
        if (path === '/etcdserverpb.KV/Put') {
          puts += 1;
          house.proxy.cut();
          return 'drop';
        }
        return 'pass';
      };
      assert.equal(await raw.refusal('KV/Put', { key: bytes('once'), value: bytes('1') }), LOST);
      house.proxy.after = () => 'pass';
      const { kvs } = (await raw.call('KV/Range', { key: bytes('once') })) as { kvs: { version: string }[] };
      assert.deepEqual([puts, kvs[0]?.version], [1, '1']);
    });

    it('a read whose answer was lost is sent again', async () => {
      let isFirst = true;
      house.proxy.after = ({ path }) => {
        if (path === '/etcdserverpb.KV/Range' && isFirst) {
          isFirst = false;
          house.proxy.cut();
          return 'drop';
        }
        return 'pass';
      };
      assert.equal((await raw.call('KV/Range', { key: bytes('once') })).count, '1');
      assert.equal(isFirst, false);
    });

    it('no one notices that etcd has forgotten its tokens', async () => {
      const stream = raw.stream('Watch/Watch');
      stream.write({ create_request: { key: bytes('first') } });
      assert.equal((await stream.next()).created, true);
      stream.write({ cancel_request: { watch_id: '0' } });
      assert.equal((await stream.next()).canceled, true);
      await killTokens();
      await raw.call('KV/Put', { key: bytes('a'), value: bytes('1') });
      await killTokens();
      stream.write({ create_request: { key: bytes('second') } });
      const created = await stream.next();
      assert.deepEqual([created.created, created.canceled], [true, false], JSON.stringify(created));
      await raw.call('KV/Put', { key: bytes('second'), value: bytes('1') });
      const { events } = (await stream.next()) as { events: unknown[] };
      assert.equal(events.length, 1);
      // A stream belongs to one token: with another watch on it, its client has to begin it anew.
      await killTokens();
      stream.write({ create_request: { key: bytes('third') } });
      assert.equal(await stream.ended(), LOST);
      const lease = (await raw.call('Lease/LeaseGrant', { TTL: 60 })).ID as string;
      const alive = raw.stream('Lease/LeaseKeepAlive');
      await killTokens();
      alive.write({ ID: lease });
      assert.equal((await alive.next()).TTL, '60');
      alive.call.cancel();
    });

    it('bindings that come and go while the portal is cut off are known afterwards', async () => {
      await house.bind('i', 'leaver');
      const { credentials: leaver } = (await house.broker.bind('i', 'leaver')).body;
      house.proxy.refuse(true);
      house.proxy.cut();
      const { credentials: newcomer } = (await house.broker.bind('i', 'newcomer')).body;
      await house.broker.unbind('i', 'leaver');
      const { directory } = house.portal;
      assert.ok(directory.find(leaver.username), 'what was known is served on');
      house.proxy.refuse(false);
      await until(() => directory.find(newcomer.username) !== undefined, 15_000);
      await until(() => directory.find(leaver.username) === undefined, 15_000);
    });

    it('a binding is known as soon as its credentials are handed out', async () => {
      house.proxy.delayMs = 300;
      try {
        const bound = await house.broker.bind('i', 'new');
        assert.equal(house.portal.directory.find(bound.body.credentials.username), undefined, 'it is late');
        const client = await RawClient.open(house.running.port, bound.body.credentials);
        assert.ok(client.token);
        client.close();
      } finally {
        house.proxy.delayMs = 0;
      }
    });

    it('changes of users elsewhere are not seen, however many', async () => {
      let isDone = false;
      const change = async (worker: number) => {
        for (let number = 0; number < 60; number += 1) {
          const name = `r${worker}-${number}`;
          await house.root.auth.roleAdd({ name });
          const perm = { permType: 'Read', key: bytes('/x'), range_end: bytes('/y') } as never;
          await house.root.auth.roleGrantPermission({ name, perm });
        }
      };
      const changes = Promise.all([change(1), change(2), change(3)]).then(() => {
        isDone = true;
      });
      let refused = 0;
      house.proxy.after = ({ path, status }) => {
        refused += path === '/etcdserverpb.KV/Put' && status === '3' ? 1 : 0;
        return 'pass';
      };
      const put = async () => {
        while (!isDone) {
          await raw.call('KV/Put', { key: bytes('busy'), value: bytes('1') });
        }
      };
      const watch = async () => {
        while (!isDone) {
          const stream = raw.stream('Watch/Watch');
          stream.write({ create_request: { key: bytes('busy') } });
          assert.equal((await stream.next()).canceled, false);
          stream.call.cancel();
        }
      };
      await Promise.all([changes, watch(), ...Array.from({ length: 32 }, put)]);
      assert.ok(refused > 0, 'etcd refused none of the puts, so this was no test');
    });

    it('while etcd is away, calls end as etcd’s clients know it, and go on when it is back', async () => {
      house.proxy.refuse(true);
      house.proxy.cut();
      const anonymous = await RawClient.open(house.running.port, credentials);
      assert.equal(
        await raw.refusal('KV/Put', { key: bytes('k'), value: bytes('1') }),
        '14 there is no connection available',
      );
      house.proxy.refuse(false);
      await until(async () => (await anonymous.refusal('KV/Range', { key: bytes('k') })) === 'answered');
      anonymous.close();
    });
  });
}
