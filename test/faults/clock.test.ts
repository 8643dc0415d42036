import assert from 'node:assert/strict';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerProcess } from './support/broker-process.js';
import { TestCluster } from './support/cluster.js';
import { EtcdProxy } from './support/etcd-proxy.js';
import { assertOracle, credentialsWork } from './support/oracle.js';

const SHIFTED_CLOCK = path.resolve(import.meta.dirname, 'support/shifted-clock.js');
const LIFE_MS = 4_000;
/** At expiry the credentials stop working within this time. */
const LATE_MS = 5_000;

describe('A wall clock that jumps by an hour', () => {
  let cluster: TestCluster;
  let proxy: EtcdProxy;
  let replicas: BrokerProcess[] = [];

  before(async () => {
    cluster = await TestCluster.start();
    proxy = await EtcdProxy.start(cluster.embedded.endpoints[0] as string, cluster.embedded.caCertificate);
    const options = { env: cluster.env([proxy.endpoint]), preload: [SHIFTED_CLOCK] };
    replicas = [new BrokerProcess(options), new BrokerProcess(options)];
    await Promise.all(replicas.map((replica) => replica.start()));
    assert.equal((await first().provision('timed')).status, 201);
  });
  after(async () => {
    await Promise.all(replicas.map((replica) => replica.dispose()));
    await proxy?.stop();
    await cluster?.stop();
  });

  const first = () => replicas[0] as BrokerProcess;
  const clocks = (replica: BrokerProcess) =>
    replica.logged.filter((line) => line.startsWith('{"clock"')).length;

  /** Lets every replica's clock jump: an hour ahead, then an hour behind the truth, then to the truth. */
  async function jump(): Promise<void> {
    const before = replicas.map(clocks);
    await Promise.all(replicas.map((replica) => replica.kill('SIGUSR2')));
    while (replicas.some((replica, index) => clocks(replica) === before[index])) {
      await sleep(5);
    }
  }

  for (const [round, way] of ['an hour ahead', 'two hours back', 'to the truth'].entries()) {
    it(`${way} disturbs neither sessions nor calls under way, and expiry is neither early nor late`, async () => {
      const boundAt = performance.now();
      const id = `short-${round}`;
      const bound = await first().bind('timed', id, { parameters: { expires_in: `${LIFE_MS / 1_000}s` } });
      assert.equal(bound.status, 201, bound.text);

      // Calls are under way when the clock jumps, and after it.
      proxy.delayMs = 400;
      const binds = replicas.map((replica, index) => replica.bind('timed', `under-way-${round}-${index}`));
      await sleep(300);
      await jump();
      const later = replicas.map((replica, index) => replica.bind('timed', `after-${round}-${index}`));
      for (const { status, text } of await Promise.all([...binds, ...later])) {
        assert.equal(status, 201, text);
      }
      proxy.delayMs = 0;

      let endedAt: number | undefined;
      while (endedAt === undefined) {
        const startedAt = performance.now();
        if (!(await credentialsWork(cluster, bound.body.credentials))) {
          endedAt = startedAt - boundAt;
        }
        assert.ok(startedAt - boundAt < LIFE_MS + LATE_MS, 'the credentials work long after their time');
        await sleep(50);
      }
      console.log(`      ended ${Math.round(endedAt)} ms after they were asked for, for ${LIFE_MS} ms`);
      assert.ok(endedAt >= LIFE_MS, `the credentials ended early, after ${endedAt} ms`);
      assert.equal((await first().unbind('timed', id)).status, 200);

      for (const replica of replicas) {
        const lines = replica.logged
          .filter((line) => !line.startsWith('{"clock"'))
          .map((line) => JSON.parse(line));
        const begun = lines.filter(({ msg }) => msg === 'A session with etcd has begun');
        assert.equal(begun.length, 1, 'a replica lost its session');
        const warned = lines.filter(({ level }) => ['warn', 'error', 'fatal'].includes(level));
        assert.deepEqual(warned, []);
        assert.equal((await replica.send('GET', '/ready')).status, 200);
      }
      await assertOracle(cluster);
    });
  }
});
