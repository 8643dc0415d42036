import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdClient, within } from '../../src/etcd/client.js';
import { BrokerProcess } from '../faults/support/broker-process.js';
import { TestCluster } from '../faults/support/cluster.js';
import { freeze, quorumReturns } from '../faults/support/faults.js';
import { runCli } from '../support/cli.js';
import { OperatorEtcd } from '../support/operator-etcd.js';
import { TcpProxy } from './support/tcp-proxy.js';

const KEY = { key: Buffer.from('/test/key') };

describe('One endpoint of three hangs', () => {
  let cluster: TestCluster;
  let thaw: () => void = () => undefined;

  before(async () => {
    cluster = await TestCluster.start({ members: 3 });
  });
  afterEach(async () => {
    thaw();
    await quorumReturns(cluster);
  });
  after(() => cluster?.stop());

  const client = () => new EtcdClient({ ...cluster.embedded, username: 'root' });

  it('at start: calls with and without a login go elsewhere at once', async () => {
    thaw = freeze(cluster, [0]);
    await quorumReturns(cluster, [0]);
    const etcd = client();
    try {
      const startedAt = performance.now();
      // On one connection each: neither profits from what the other has found out.
      const other = client();
      const request = { name: 'root', password: cluster.embedded.password.reveal() };
      await Promise.all([
        etcd.kv.range(KEY, within(4_000)),
        other.unauthenticated('Auth', 'authenticate', request, 4_000).finally(() => other.close()),
      ]);
      const took = performance.now() - startedAt;
      assert.ok(took < 3_000, `it took ${Math.round(took)} ms`);
    } finally {
      etcd.close();
    }
  });

  it('later, with a call under way and the token forgotten: calls go on elsewhere', async () => {
    const etcd = client();
    try {
      await etcd.kv.range(KEY);
      thaw = freeze(cluster, [0]);
      await quorumReturns(cluster, [0]);
      etcd.forgetToken();
      const startedAt = performance.now();
      await etcd.kv.range(KEY);
      const took = performance.now() - startedAt;
      assert.ok(took < 3_500, `it took ${Math.round(took)} ms`);
      const next = performance.now();
      await Promise.all(Array.from({ length: 20 }, () => etcd.kv.put({ ...KEY, value: Buffer.from('x') })));
      assert.ok(performance.now() - next < 1_500, 'the endpoint that hangs is still asked');
    } finally {
      etcd.close();
    }
  });

  it('at start: the broker starts, serves and is checked', async () => {
    thaw = freeze(cluster, [0]);
    await quorumReturns(cluster, [0]);
    const broker = new BrokerProcess({ env: cluster.env() });
    try {
      await broker.start();
      assert.equal((await broker.provision('hang')).status, 201);
      assert.equal((await broker.bind('hang', 'hang')).status, 201);
      const { code, stdout, stderr } = await runCli(['check'], {
        ...cluster.env(),
        BROKER_USERNAME: 'platform',
        BROKER_PASSWORD: 'a-password-that-nobody-uses',
      });
      assert.equal(code, 0, stdout + stderr);
      assert.match(stdout, /Nothing differs/);
    } finally {
      await broker.dispose();
    }
  });
});

describe('A connection to etcd', () => {
  let etcd: OperatorEtcd;
  let proxy: TcpProxy;
  let client: EtcdClient;

  before(async () => {
    etcd = await OperatorEtcd.start();
  });
  after(() => etcd?.stop());
  beforeEach(async () => {
    proxy = await TcpProxy.start(etcd.endpoint);
    client = new EtcdClient({ ...etcd.connect().address, endpoints: [proxy.endpoint] });
    await client.kv.range(KEY);
  });
  afterEach(async () => {
    client.close();
    await proxy.stop();
  });

  it('that goes silent is replaced, and calls work again within 10 s', async () => {
    proxy.silence();
    const startedAt = performance.now();
    for (;;) {
      try {
        await client.kv.range(KEY, within(1_000));
        break;
      } catch (error) {
        assert.ok(performance.now() - startedAt < 10_000, (error as Error).message);
      }
    }
    assert.equal(proxy.accepted, 2);
  });

  it('that goes silent while the broker runs: it is ready again within 10 s', async () => {
    const broker = new BrokerProcess({ env: { ...etcd.settings, ETCD_ENDPOINTS: proxy.endpoint } });
    try {
      await broker.start();
      const warnings = broker.said.filter((line) => line.includes('DEP0123'));
      assert.deepEqual(warnings, [], 'an endpoint by its address is named to TLS');
      const isReady = async () => (await broker.send('GET', '/ready')).status === 200;
      assert.ok(await isReady());
      proxy.silence();
      const startedAt = performance.now();
      let wasUnready = false;
      for (;;) {
        const ready = await isReady();
        wasUnready ||= !ready;
        if (wasUnready && ready) {
          break;
        }
        assert.ok(performance.now() - startedAt < 10_000, 'the broker is not ready');
        await sleep(50);
      }
    } finally {
      await broker.dispose();
    }
  });

  it('that breaks is replaced at once, and calls under way are repeated', async () => {
    const calls = Promise.all(Array.from({ length: 50 }, () => client.kv.range(KEY)));
    proxy.cut();
    const startedAt = performance.now();
    await calls;
    await client.kv.range(KEY);
    assert.ok(performance.now() - startedAt < 1_000);
  });

  it('comes back after etcd was away for a while, and errors say meanwhile why', async () => {
    etcd.freeze();
    proxy.cut();
    await assert.rejects(client.kv.range(KEY, within(500)), { kind: 'timeout', delivery: 'not sent' });
    etcd.thaw();
    await client.kv.range(KEY);
  });

  it('a client that was closed makes no more calls', async () => {
    client.close();
    await assert.rejects(client.kv.range(KEY), { kind: 'other', mayBeApplied: false });
  });
});
