import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Reply } from '../support/broker.js';
import { BrokerProcess } from './support/broker-process.js';
import { TestCluster } from './support/cluster.js';
import { EtcdProxy, type Verdict } from './support/etcd-proxy.js';
import { assertOracle, takeInventory } from './support/oracle.js';

/*
 * A call that nobody waits for any more may still reach etcd: from a network that held it back, from a member that
 * hung, from a leader that kept it while it had no quorum. By then the platform may have been told the contrary.
 */
describe('A call that reaches etcd late', () => {
  let cluster: TestCluster;
  let proxy: EtcdProxy;
  let late: BrokerProcess;
  let other: BrokerProcess;

  before(async () => {
    cluster = await TestCluster.start();
    proxy = await EtcdProxy.start(cluster.embedded.endpoints[0] as string, cluster.embedded.caCertificate);
    late = new BrokerProcess({ env: cluster.env([proxy.endpoint]) });
    other = new BrokerProcess({ env: cluster.env() });
    await Promise.all([late.start(), other.start()]);
    assert.equal((await other.provision('there')).status, 201);
  });
  after(async () => {
    await late?.dispose();
    await other?.dispose();
    await proxy?.stop();
    await cluster?.stop();
  });

  /**
   * Sends a request whose transactions are all held until it was answered and the clean-up that follows, too.
   * @returns the answers to both, after which the held calls have reached etcd
   */
  async function overtake(
    id: string,
    request: () => Promise<Reply>,
    cleanUp: () => Promise<Reply>,
  ): Promise<[Reply, Reply]> {
    let free: () => void = () => undefined;
    const freed = new Promise<void>((resolve) => {
      free = resolve;
    });
    let held = 0;
    proxy.before = async (call): Promise<Verdict> => {
      if (call.path.endsWith('/Txn') && call.message.includes(id)) {
        held += 1;
        await freed;
      }
      return 'pass';
    };
    try {
      const answer = await request();
      const deleted = await cleanUp();
      free();
      await sleep(1_000);
      assert.ok(held > 0, 'no call was held');
      return [answer, deleted];
    } finally {
      free();
      proxy.before = () => 'pass';
    }
  }

  it('makes no instance that the platform was told is gone', async () => {
    const [answer, deleted] = await overtake(
      'late-instance',
      () => late.provision('late-instance'),
      () => other.deprovision('late-instance'),
    );
    assert.equal(answer.status, 503);
    assert.equal(deleted.status, 410);
    assert.ok(!(await takeInventory(cluster)).instances.has('late-instance'));
    await assertOracle(cluster);
    // The platform may use the id again.
    assert.equal((await late.provision('late-instance')).status, 201);
    assert.equal((await other.provision('late-instance')).status, 200);
  });

  it('makes no binding that the platform was told is gone', async () => {
    const [answer, deleted] = await overtake(
      'late-binding',
      () => late.bind('there', 'late-binding'),
      () => other.unbind('there', 'late-binding'),
    );
    assert.equal(answer.status, 503);
    assert.equal(deleted.status, 410);
    await sleep(1_500); // a record would be picked up by recovery
    assert.ok(!(await takeInventory(cluster)).bindings.has('there late-binding'));
    await assertOracle(cluster);
    assert.equal((await late.bind('there', 'late-binding')).status, 201);
  });

  it('that was repeated meanwhile brings nothing back after its deletion', async () => {
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    let attempts = 0;
    proxy.before = async (call): Promise<Verdict> => {
      if (call.path.endsWith('/Txn') && call.message.includes('twice')) {
        attempts += 1;
        if (attempts === 1) {
          await released;
        }
      }
      return 'pass';
    };
    try {
      // The first attempt hangs; the second makes the instance.
      assert.equal((await late.provision('twice')).status, 201);
      assert.ok(attempts > 1);
      assert.equal((await other.deprovision('twice')).status, 200);
    } finally {
      release();
      proxy.before = () => 'pass';
    }
    await sleep(1_000);
    assert.ok(!(await takeInventory(cluster)).instances.has('twice'));
    await assertOracle(cluster);
  });
});
