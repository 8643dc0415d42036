import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestCluster } from './support/cluster.js';
import { freeze, leaderOf, quorumReturns } from './support/faults.js';
import { ProcessHouse } from './support/portal-house.js';
import { TenantLoad } from './support/tenants.js';

describe('Tenants of two portals while everything breaks', () => {
  let cluster: TestCluster;
  let house: ProcessHouse;

  before(async function () {
    this.timeout(90_000);
    cluster = await TestCluster.start({ members: 3 });
    house = await ProcessHouse.start(cluster);
  });
  after(async () => {
    await house?.stop();
    await cluster?.stop();
  });

  it('read what was written, miss no event, and keep their leases', async function () {
    this.timeout(120_000);
    const loads = await Promise.all(
      ['one', 'two', 'three'].map(async (name) => new TenantLoad(name, await house.bind(`i-${name}`, 'b'))),
    );
    for (const load of loads) {
      load.start();
    }
    await sleep(1_000);
    await house.endPortal(0, 'SIGKILL');
    await sleep(1_000);
    await house.startPortal(0);
    await house.endPortal(1, 'SIGTERM');
    await house.startPortal(1);
    await house.broker.kill('SIGKILL');
    const leader = await leaderOf(cluster);
    process.kill(cluster.embedded.members[leader]?.pid as number, 'SIGKILL');
    await quorumReturns(cluster, [leader]);
    await sleep(1_000);
    await house.broker.start();
    const thaw = freeze(cluster, [await leaderOf(cluster)]);
    try {
      await sleep(5_000);
    } finally {
      thaw();
    }
    await sleep(2_000);
    const faults = (await Promise.all(loads.map((load) => load.end()))).flat();
    assert.deepEqual(faults, []);
    const calls = loads.reduce((sum, { history }) => sum + history.length, 0);
    const longest = Math.max(...loads.map((load) => load.longest));
    console.log(`      ${calls} calls checked; the longest took ${Math.round(longest)} ms`);
    assert.ok(calls > 1_000, `${calls} calls`);
  });
});
