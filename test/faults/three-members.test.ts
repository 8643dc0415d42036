import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { BrokerProcess } from './support/broker-process.js';
import { TestCluster } from './support/cluster.js';
import { FaultTimes, freeze, leaderOf, quorumReturns } from './support/faults.js';
import { commands, Platform } from './support/platform.js';

/** Full service is back so long after the quorum is. */
const GRACE_MS = 5_000;
const FROZEN_MS = 10_000;

describe('Three members of etcd under three replicas', () => {
  let cluster: TestCluster;
  let replicas: BrokerProcess[] = [];
  const faults = new FaultTimes();
  let thaw: (() => void) | undefined;
  let platform: Platform;
  let traffic: Promise<void>;
  let goesOn = true;
  let broken: Error | undefined;

  before(async () => {
    cluster = await TestCluster.start({ members: 3 });
    replicas = Array.from({ length: 3 }, () => new BrokerProcess({ env: cluster.env() }));
    await Promise.all(replicas.map((replica) => replica.start()));
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
    console.log(`      seed ${seed} (SEED=${seed} repeats the requests)`);
    platform = new Platform({
      cluster,
      replicas: () => replicas,
      name: 'members',
      isFaulty: (since) => faults.since(since),
    });
    const all = fc.sample(commands(50_000), { seed, numRuns: 1 })[0] ?? [];
    traffic = platform.run(all, 10, () => goesOn);
    traffic.catch((error: Error) => {
      broken = error;
    });
  });
  afterEach(() => thaw?.());
  after(async () => {
    goesOn = false;
    await traffic?.catch(() => undefined);
    await Promise.all(replicas.map((replica) => replica.dispose()));
    await cluster?.stop();
  });

  /** Lets requests flow for a while; what goes wrong in them fails the test that runs. */
  const flow = async (milliseconds: number) => {
    const requests = platform.requests;
    await sleep(milliseconds);
    assert.ifError(broken);
    return platform.requests - requests;
  };
  /** What each replica says of itself: its status, and what is wrong where something is. */
  const ready = () =>
    Promise.all(
      replicas.map(async (replica) => {
        const { status, body } = await replica.send('GET', '/ready');
        const wrong = Object.entries(body.checks).filter(([, text]) => text !== 'ok');
        return { status, wrong: wrong.map(([check, text]) => `${check}: ${text}`) };
      }),
    );
  /** Every replica says that it is ready, at the latest when the grace since the quorum's return is over. */
  const turnGreen = async () => {
    const since = performance.now();
    const whole = Array(3).fill({ status: 200, wrong: [] });
    let seen = await ready();
    while (!isDeepStrictEqual(seen, whole) && performance.now() - since < GRACE_MS) {
      await sleep(50);
      seen = await ready();
    }
    assert.deepEqual(seen, whole, replicas.map(({ logged }) => logged.slice(-20).join('\n')).join('\n\n'));
    console.log(`      every replica ready after ${Math.round(performance.now() - since)} ms more`);
  };

  it('serve while nothing is wrong', async () => {
    assert.ok((await flow(2_000)) > 50, 'hardly any requests went through');
    await turnGreen();
  });

  it('go on within 5 s of an election when the leader is killed', async () => {
    const end = faults.begin();
    const leader = await leaderOf(cluster);
    process.kill(cluster.embedded.members[leader]?.pid as number, 'SIGKILL');
    console.log(`      a leader after ${Math.round(await quorumReturns(cluster, [leader]))} ms`);
    end(GRACE_MS);
    await turnGreen();
    // What was on its way to the old leader may take all of the grace.
    await flow(GRACE_MS);
    assert.ok((await flow(2_000)) > 50, 'hardly any requests went through');
  });

  it('go on within 5 s of an election while the old leader is frozen, and when it thaws', async () => {
    const end = faults.begin();
    const leader = await leaderOf(cluster);
    const frozenAt = performance.now();
    thaw = freeze(cluster, [leader]);
    console.log(`      a leader after ${Math.round(await quorumReturns(cluster, [leader]))} ms`);
    end(GRACE_MS);
    await turnGreen();
    await flow(FROZEN_MS - (performance.now() - frozenAt));
    thaw();
    assert.ok((await flow(3_000)) > 50, 'hardly any requests went through');
    await turnGreen();
  });

  it('fail in time while two members are gone, and serve within 5 s of their return', async () => {
    const end = faults.begin();
    const leader = await leaderOf(cluster);
    thaw = freeze(cluster, [leader, (leader + 1) % 3]);
    await flow(FROZEN_MS / 2);
    for (const { status, wrong } of await ready()) {
      assert.equal(status, 503);
      assert.notDeepEqual(wrong, []);
    }
    await flow(FROZEN_MS / 2);
    thaw();
    console.log(`      a quorum after ${Math.round(await quorumReturns(cluster))} ms`);
    end(GRACE_MS);
    await turnGreen();
    // Requests that began before are answered by now, so any failure from here on is one too many.
    assert.ok((await flow(5_000)) > 50, 'hardly any requests went through');
  });

  it('have left nothing lost, leaked or half done', async () => {
    goesOn = false;
    await traffic;
    await platform.settle();
    const statuses = [...platform.statuses].map(([status, count]) => `${status}: ${count}`).join(', ');
    console.log(
      `      ${statuses}; slowest ${Math.round(platform.slowestMs)} ms; ${platform.checks} credentials tried`,
    );
  });
});
