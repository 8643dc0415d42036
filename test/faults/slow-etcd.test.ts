import assert from 'node:assert/strict';
import type { Reply } from '../support/broker.js';
import { BrokerProcess } from './support/broker-process.js';
import { TestCluster } from './support/cluster.js';
import { EtcdProxy } from './support/etcd-proxy.js';
import { assertOracle, credentialsWork, takeInventory } from './support/oracle.js';
import { usageOf, watchUsage } from './support/usage.js';

const WAITING = 200;
const MB = 2 ** 20;

describe('A slow etcd', () => {
  let cluster: TestCluster;
  let proxy: EtcdProxy;
  let broker: BrokerProcess;

  before(async () => {
    cluster = await TestCluster.start();
    proxy = await EtcdProxy.start(cluster.embedded.endpoints[0] as string, cluster.embedded.caCertificate);
    broker = await new BrokerProcess({ env: cluster.env([proxy.endpoint]) }).start();
    assert.equal((await broker.provision('slow')).status, 201);
  });
  afterEach(() => {
    proxy.delayMs = 0;
  });
  after(async () => {
    await broker?.dispose();
    await proxy?.stop();
    await cluster?.stop();
  });

  async function timed(request: Promise<Reply>): Promise<Reply & { ms: number }> {
    const startedAt = performance.now();
    const reply = await request;
    return { ...reply, ms: performance.now() - startedAt };
  }

  it('of 200 ms a call makes everything slower and nothing fail', async () => {
    proxy.delayMs = 200;
    const bound = await Promise.all(
      Array.from({ length: 20 }, (_, index) => timed(broker.bind('slow', `patient-${index}`))),
    );
    for (const { status, text } of bound) {
      assert.equal(status, 201, text);
    }
    const unbound = await Promise.all(
      Array.from({ length: 10 }, (_, index) => timed(broker.unbind('slow', `patient-${index}`))),
    );
    for (const { status, text } of unbound) {
      assert.equal(status, 200, text);
    }
    console.log(
      `      slowest of 20 binds ${Math.round(slowest(bound))} ms, of 10 unbinds ${Math.round(slowest(unbound))} ms`,
    );
    assert.ok(slowest([...bound, ...unbound]) < 8_000);
    await assertOracle(cluster);
  });

  it('of 3 s a call is told to the platform in time, without a pile-up, and what was begun is finished once', async () => {
    const idle = await usageOf(broker.pid);
    const stopWatching = watchUsage(broker.pid);
    proxy.delayMs = 3_000;
    const replies = await Promise.all(
      Array.from({ length: WAITING }, (_, index) => {
        // Every fourth is the same request once more; half of all accept a 202.
        const id = `waiting-${index % 4 === 3 ? index - 1 : index}`;
        return timed(broker.bind('slow', id, {}, index % 2 === 0 ? '?accepts_incomplete=true' : ''));
      }),
    );
    for (const { status, text, body } of replies) {
      assert.ok([202, 422, 503].includes(status), text);
      assert.ok(status === 202 || body.description.length > 0, text);
    }
    const longest = slowest(replies);
    assert.ok(longest < 10_000, `an answer took ${longest} ms`);
    const peak = await stopWatching();
    const grown = (peak.rssBytes - idle.rssBytes) / MB;
    console.log(
      `      slowest answer ${Math.round(longest)} ms; RSS ${Math.round(idle.rssBytes / MB)} MB, at most ${Math.round(peak.rssBytes / MB)} MB; open files and sockets ${idle.handles}, at most ${peak.handles}`,
    );
    assert.ok(grown < 100, `RSS grew by ${grown} MB`);
    // A socket for each request that waits, and little else.
    assert.ok(peak.handles < idle.handles + WAITING + 20, `${peak.handles} files and sockets are open`);
    assert.ok(proxy.inFlight < WAITING, `${proxy.inFlight} calls to etcd are under way`);

    proxy.delayMs = 0;
    const deadline = performance.now() + 15_000;
    await assertOracle(cluster, 15_000);
    console.log(
      `      all at rest ${Math.round(15_000 - (deadline - performance.now()))} ms after etcd was quick`,
    );
    const told = new Set(replies.filter(({ status }) => status === 202).map(({ body }) => body.operation));
    const { operations, users, bindings } = await takeInventory(cluster);
    for (const operation of told) {
      const found = operations.find(({ id }) => id === operation);
      assert.equal(found?.state, 'succeeded', `${operation}: ${found?.description}`);
    }
    // One user for each binding, however often it was asked for.
    assert.equal(users.length, bindings.size);
    const again = await Promise.all(
      Array.from({ length: WAITING }, (_, index) => broker.bind('slow', `waiting-${index}`)),
    );
    for (const { status, text, body } of again.slice(0, 50)) {
      assert.ok(status === 200 || status === 201, text);
      assert.ok(await credentialsWork(cluster, body.credentials));
    }
    await assertOracle(cluster);
  });

  it('of 3 s a call still lets go what was bound', async () => {
    proxy.delayMs = 3_000;
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, index) => timed(broker.unbind('slow', `waiting-${index}`))),
    );
    assert.ok(slowest(replies) < 10_000);
    const deleted = await timed(broker.deprovision('slow', '&accepts_incomplete=true'));
    // Three calls come before the intent is written, so the answer may be due first.
    assert.ok([202, 503].includes(deleted.status), deleted.text);
    assert.ok(deleted.ms < 10_000);
    proxy.delayMs = 0;
    await assertOracle(cluster, 15_000);
    const { instances, users } = await takeInventory(cluster);
    assert.equal(instances.size, 0);
    assert.deepEqual(users, []);
  });
});

function slowest(replies: readonly { ms: number }[]): number {
  return Math.max(...replies.map(({ ms }) => ms));
}
