import assert from 'node:assert/strict';
import { isAccessChange, isSafeToRepeat } from '../../src/etcd/calls.js';
import { EtcdClient, within } from '../../src/etcd/client.js';
import { EtcdError, toEtcdError } from '../../src/etcd/errors.js';
import { grantLease, keepAlive } from '../../src/etcd/leases.js';
import { keyAfter, pagedRange, prefixEnd, rangeOfPrefix } from '../../src/etcd/ranges.js';
import { EtcdProxy } from '../faults/support/etcd-proxy.js';
import { OperatorEtcd } from '../support/operator-etcd.js';

const GRANT = '/etcdserverpb.Lease/LeaseGrant';

describe('What is repeated', () => {
  it('everything that may be applied twice, and a lease only under an id of its own', () => {
    for (const method of ['range', 'put', 'txn', 'deleteRange', 'userAdd', 'leaseRevoke', 'leaseKeepAlive']) {
      assert.ok(isSafeToRepeat(method, {}), method);
    }
    assert.ok(isSafeToRepeat('leaseGrant', { TTL: 5, ID: '7' }));
    for (const request of [{ TTL: 5 }, { TTL: 5, ID: 0 }, { TTL: 5, ID: '0' }]) {
      assert.ok(!isSafeToRepeat('leaseGrant', request));
    }
    assert.ok(!isSafeToRepeat('memberAdd', {}));
  });

  it('an error says whether the call may have been applied', () => {
    for (const [error, isMaybe] of [
      [new EtcdError('timeout', '', { delivery: 'unknown' }), true],
      [new EtcdError('unavailable', '', { delivery: 'answered' }), true],
      [new EtcdError('unavailable', '', { delivery: 'not sent' }), false],
      [new EtcdError('no-space', ''), true],
      [new EtcdError('stale-auth', ''), false],
      [new EtcdError('signed-out', ''), false],
      [new EtcdError('denied', ''), false],
    ] as const) {
      assert.equal(error.mayBeApplied, isMaybe, `${error.kind} ${error.delivery}`);
    }
  });

  it('only what etcd answered is read as its words', () => {
    const text = 'etcdserver: user name already exists';
    assert.equal(toEtcdError({ code: 9, message: text, delivery: 'answered' }).kind, 'already-exists');
    assert.equal(toEtcdError({ code: 14, message: text, delivery: 'unknown' }).kind, 'unavailable');
  });

  it('only calls that change users or roles are told to leave some behind', () => {
    for (const method of ['userAdd', 'userDelete', 'roleAdd', 'roleGrantPermission', 'userGrantRole']) {
      assert.ok(isAccessChange(method), method);
    }
    for (const method of ['range', 'txn', 'userList', 'userGet', 'roleGet', 'roleList', 'authenticate']) {
      assert.ok(!isAccessChange(method), method);
    }
  });
});

describe('Calls to etcd', () => {
  let etcd: OperatorEtcd;
  let proxy: EtcdProxy;
  let client: EtcdClient;
  let observed: [string, string, boolean | undefined][] = [];

  before(async () => {
    etcd = await OperatorEtcd.start();
  });
  after(() => etcd?.stop());
  beforeEach(async () => {
    proxy = await EtcdProxy.start(etcd.endpoint, etcd.caCertificate as string);
    observed = [];
    client = new EtcdClient({ ...etcd.connect().address, endpoints: [proxy.endpoint] }, (...call) => {
      observed.push([call[0], call[1], call[3]?.mayBeApplied]);
    });
    await client.token();
  });
  afterEach(async () => {
    client.close();
    await proxy.stop();
  });

  /** The answer to the first call of a path is lost: the connection breaks after etcd has carried it out. */
  const loseAnswer = (path: string) => {
    let isLost = false;
    proxy.after = (call) => {
      if (call.path === path && !isLost) {
        isLost = true;
        proxy.cut();
        return 'drop';
      }
      return 'pass';
    };
  };

  it('a grant whose answer was lost is repeated and grants one lease', async () => {
    loseAnswer(GRANT);
    const before = (await client.lease.leaseLeases()).leases.length;
    const lease = await grantLease(client, 100);
    assert.equal(proxy.counts.get(GRANT), 2);
    const { leases } = await client.lease.leaseLeases();
    assert.equal(leases.length, before + 1);
    assert.ok(leases.some(({ ID }) => ID === lease));
    assert.ok(BigInt(lease) > 0n && BigInt(lease) < 2n ** 63n);
    assert.equal(await keepAlive(client, lease), 100);
    assert.equal(await keepAlive(client, '1'), 0);
  });

  it('a grant that leaves the id to etcd is not repeated when its answer was lost', async () => {
    loseAnswer(GRANT);
    await assert.rejects(client.lease.leaseGrant({ TTL: 100 }), { kind: 'unavailable', mayBeApplied: true });
    assert.equal(proxy.counts.get(GRANT), 1);
  });

  it('each attempt is observed, and a lost answer is told from a call that was not sent', async () => {
    loseAnswer('/etcdserverpb.Auth/RoleAdd');
    await assert.rejects(client.auth.roleAdd({ name: 'lost' }), { kind: 'already-exists' });
    const attempts = observed.filter(([method]) => method === 'roleAdd');
    assert.deepEqual(attempts, [
      ['roleAdd', 'unavailable', true],
      ['roleAdd', 'already-exists', false],
    ]);
    proxy.refuse(true);
    proxy.cut();
    // What is sent before the client has noticed may have arrived.
    await assert.rejects(client.kv.range({ key: Buffer.from('a') }, within(200)));
    observed = [];
    await assert.rejects(client.auth.roleAdd({ name: 'never' }, within(300)));
    assert.ok(observed.length > 0 && observed.every(([, , isMaybe]) => isMaybe === false));
  });

  it('a deadline bounds all attempts together', async () => {
    proxy.before = () => 'drop';
    const startedAt = performance.now();
    await assert.rejects(client.kv.range({ key: Buffer.from('a') }, within(600)), { kind: 'timeout' });
    const took = performance.now() - startedAt;
    assert.ok(took > 500 && took < 1_500, `${took} ms`);
  });

  it('signs in again, once for all, when etcd forgot the token', async () => {
    const root = etcd.connect();
    await root.kv.range({ key: Buffer.from('a') });
    await root.auth.authDisable();
    await root.auth.authEnable();
    proxy.counts.clear();
    await Promise.all(Array.from({ length: 20 }, () => client.kv.range({ key: Buffer.from('a') })));
    assert.equal(proxy.counts.get('/etcdserverpb.Auth/Authenticate'), 1);
  });

  it('go through while users and roles change all the time', async () => {
    const root = etcd.connect();
    let goesOn = true;
    const changes = (async () => {
      for (let index = 0; goesOn; index += 1) {
        await root.auth.roleAdd({ name: `churn-${index}` });
      }
    })();
    try {
      for (let round = 0; round < 20; round += 1) {
        await Promise.all(
          Array.from({ length: 20 }, (_, index) =>
            client.kv.put({ key: Buffer.from(`churn-${index}`), value: Buffer.from('x') }),
          ),
        );
      }
    } finally {
      goesOn = false;
      await changes;
    }
    assert.ok(observed.some(([method, outcome]) => method === 'put' && outcome === 'stale-auth'));
  });

  it('a stream takes and gives messages until it is cancelled', async () => {
    const messages: { created: boolean; events: unknown[] }[] = [];
    let seen: () => void = () => undefined;
    const next = () =>
      new Promise<void>((resolve) => {
        seen = resolve;
      });
    let end: unknown = 'none';
    const stream = await client.stream<object, (typeof messages)[0]>('/etcdserverpb.Watch/Watch', {
      onMessage: (message) => {
        messages.push(message);
        seen();
      },
      onEnd: (error) => {
        end = error;
      },
    });
    const created = next();
    stream.write({ create_request: rangeOfPrefix('/watched/') });
    await created;
    assert.equal(messages[0]?.created, true);
    const changed = next();
    await client.kv.put({ key: Buffer.from('/watched/a'), value: Buffer.from('x') });
    await changed;
    assert.equal(messages[1]?.events.length, 1);
    stream.cancel();
    assert.equal(end, undefined);
  });

  it('a stream whose connection breaks tells why', async () => {
    const end = new Promise<EtcdError | undefined>((resolve) => {
      void client
        .stream<object, object>('/etcdserverpb.Watch/Watch', { onMessage: () => undefined, onEnd: resolve })
        .then((stream) => {
          stream.write({ create_request: rangeOfPrefix('/watched/') });
          proxy.cut();
        });
    });
    assert.equal((await end)?.kind, 'unavailable');
  });
});

describe('Ranges', () => {
  it('the end of a prefix', () => {
    assert.equal(prefixEnd('/a/').toString(), '/a0');
    assert.deepEqual(prefixEnd(Buffer.from([0x61, 0xff])), Buffer.from([0x62]));
    assert.deepEqual(prefixEnd(Buffer.from([0xff])), Buffer.from([0]), 'etcd reads this as no end at all');
    assert.deepEqual(keyAfter(Buffer.from('a')), Buffer.from('a\0'));
  });

  it('pages of a range are of one revision, whatever is written meanwhile', async () => {
    const etcd = await OperatorEtcd.start({ tls: 'none' });
    try {
      const { kv } = etcd.connect();
      const put = (key: string, value: string) =>
        kv.put({ key: Buffer.from(key), value: Buffer.from(value) });
      for (const name of ['a', 'b', 'c', 'd', 'e']) {
        await put(`/p/${name}`, 'old');
      }
      await put('/q', 'other');
      const found: string[] = [];
      for await (const { key, value } of pagedRange(kv, rangeOfPrefix('/p/'), 2)) {
        found.push(`${key} ${value}`);
        await put('/p/e', 'new');
        await kv.deleteRange({ key: Buffer.from('/p/d') });
      }
      assert.deepEqual(found, ['/p/a old', '/p/b old', '/p/c old', '/p/d old', '/p/e old']);
    } finally {
      await etcd.stop();
    }
  });
});
