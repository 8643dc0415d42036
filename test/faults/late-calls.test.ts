import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { bindingPath, instancePath, PASSWORD, type Reply, USERNAME } from '../support/broker.js';
import { eventually } from '../support/time.js';
import { BrokerProcess } from './support/broker-process.js';
import { TestCluster } from './support/cluster.js';
import { type EtcdCall, EtcdProxy, type Verdict } from './support/etcd-proxy.js';
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

  it('makes nothing that the platform was told is gone', async () => {
    const free = holdTransactions(({ message }) => message.includes('late-'));
    try {
      await Promise.all([
        overtake(late.provision('late-instance'), () => other.deprovision('late-instance')),
        overtake(late.bind('there', 'late-binding'), () => other.unbind('there', 'late-binding')),
      ]);
    } finally {
      free();
    }
    await sleep(2_000); // recovery would pick a binding up
    const { instances, bindings } = await takeInventory(cluster);
    assert.deepEqual([...instances.keys()], ['there']);
    assert.deepEqual([...bindings.keys()], []);
    await assertOracle(cluster);
    // The platform may use the ids again.
    assert.equal((await late.provision('late-instance')).status, 201);
    assert.equal((await other.provision('late-instance')).status, 200);
    assert.equal((await late.bind('there', 'late-binding')).status, 201);
    assert.equal((await late.unbind('there', 'late-binding')).status, 200);
    assert.equal((await other.bind('there', 'late-binding')).status, 201);
  });

  it('makes nothing for a platform that has gone away and cleaned up', async () => {
    let arrived = 0;
    const free = holdTransactions(({ message }) => {
      const isMine = message.includes('left-');
      arrived += isMine ? 1 : 0;
      return isMine;
    });
    const leaving = new AbortController();
    const put = (path: string, body: object) =>
      assert.rejects(
        fetch(`${late.url}${path}`, {
          method: 'PUT',
          headers: {
            authorization: `Basic ${Buffer.from(`${USERNAME}:${PASSWORD}`).toString('base64')}`,
            'content-type': 'application/json',
            'x-broker-api-version': '2.17',
          },
          body: JSON.stringify(body),
          signal: leaving.signal,
        }),
        { name: 'AbortError' },
      );
    try {
      const requests = [
        put(instancePath('left-instance'), late.provisionBody()),
        put(bindingPath('there', 'left-binding'), late.bindBody()),
      ];
      await eventually(async () => assert.ok(arrived > 0));
      leaving.abort();
      await Promise.all(requests);
      assert.equal((await other.deprovision('left-instance')).status, 410);
      assert.equal((await other.unbind('there', 'left-binding')).status, 410);
    } finally {
      free();
    }
    // One transaction is under way at a time, so what was held has been answered when another one has.
    assert.equal((await late.provision('right-after')).status, 201);
    assert.equal((await late.provision('left-instance')).status, 201, 'it is made only now');
    assert.equal((await late.bind('there', 'left-binding')).status, 201, 'it is made only now');
    for (const instance of ['right-after', 'left-instance']) {
      assert.equal((await late.deprovision(instance)).status, 200);
    }
    assert.equal((await late.unbind('there', 'left-binding')).status, 200);
    await assertOracle(cluster);
  });

  it('brings nothing back that was made by another attempt and deleted since', async () => {
    let attempts = 0;
    const free = holdTransactions(({ message }) => {
      attempts += message.includes('twice') ? 1 : 0;
      return attempts === 1 && message.includes('twice');
    });
    try {
      // The first attempt hangs; the second makes the instance.
      assert.equal((await late.provision('twice')).status, 201);
      assert.ok(attempts > 1, 'there was no second attempt');
      assert.equal((await other.deprovision('twice')).status, 200);
    } finally {
      free();
    }
    await sleep(1_000);
    assert.ok(!(await takeInventory(cluster)).instances.has('twice'));
    await assertOracle(cluster);
  });

  /** Holds transactions right before etcd gets them. @returns to be called to let them go */
  function holdTransactions(isMine: (call: EtcdCall) => boolean): () => void {
    let free: () => void = () => undefined;
    const freed = new Promise<void>((resolve) => {
      free = resolve;
    });
    proxy.before = async (call): Promise<Verdict> => {
      if (call.path.endsWith('/Txn') && isMine(call)) {
        await freed;
      }
      return 'pass';
    };
    return () => {
      proxy.before = () => 'pass';
      free();
    };
  }

  /** The platform hears of the request that it failed, and cleans up. */
  async function overtake(request: Promise<Reply>, cleanUp: () => Promise<Reply>): Promise<void> {
    assert.equal((await request).status, 503);
    assert.equal((await cleanUp()).status, 410);
  }
});
