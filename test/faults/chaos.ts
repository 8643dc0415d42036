/*
 * The long form of the fault tests: `npm run chaos -- --minutes N --seed S`.
 *
 * Three replicas on three members of etcd serve a platform that misbehaves, and two portals serve tenants, while
 * something breaks all the time. After each round everything must come to rest: the oracle holds, the platform's model
 * agrees, and what tenants saw is what one etcd could have told. Ends with the figures.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import type { Credentials } from '../support/tenant.js';
import { BrokerProcess } from './support/broker-process.js';
import { TestCluster } from './support/cluster.js';
import { FaultTimes, freeze, leaderOf, quorumReturns } from './support/faults.js';
import { commands, Platform } from './support/platform.js';
import { ProcessHouse } from './support/portal-house.js';
import { TenantLoad } from './support/tenants.js';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string' } },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
if (!(minutes > 0) || !Number.isInteger(seed)) {
  console.error('Usage: npm run chaos -- --minutes N --seed S');
  process.exit(2);
}

/** After a fault has ended its effects may last so long. */
const GRACE_MS = 5_000;
/** A replica's session, and a look of recovery. */
const TAKEN_OVER_MS = 7_000;

const FAULTS = [
  'a replica is killed',
  'a replica is stopped',
  'a replica is frozen',
  'all replicas are killed',
  'the leader is killed',
  'a member is frozen',
  'two members are frozen',
  'a portal is killed',
  'a portal is stopped',
  'nothing',
] as const;
type Fault = (typeof FAULTS)[number];

const figures = {
  rounds: 0,
  requests: 0,
  checks: 0,
  slowest: 0,
  tenantCalls: 0,
  slowestTenantCall: 0,
  faults: new Map<Fault, number>(),
};
const statuses = new Map<number | 'none', number>();
console.log(`seed ${seed}, ${minutes} minutes`);
const cluster = await TestCluster.start({ members: 3 });
const replicas = Array.from({ length: 3 }, () => new BrokerProcess({ env: cluster.env() }));
let house: ProcessHouse | undefined;
const tenants: Credentials[] = [];
let failed = false;
try {
  await Promise.all(replicas.map((replica) => replica.start()));
  house = await ProcessHouse.start(cluster);
  for (const name of ['one', 'two']) {
    tenants.push(await house.bind(`tenant-${name}`, 'b'));
  }
  const endAt = performance.now() + minutes * 60_000;
  for (let round = 1; performance.now() < endAt; round += 1) {
    await play(round);
    figures.rounds = round;
  }
} catch (error) {
  failed = true;
  console.error(error);
  for (const { logged } of replicas) {
    console.error(logged.slice(-40).join('\n'));
  }
} finally {
  await house?.stop();
  await Promise.all(replicas.map((replica) => replica.dispose()));
  await cluster.stop();
}
console.log(
  JSON.stringify({
    ...{ seed, minutes, held: !failed, ...figures, slowest: Math.round(figures.slowest) },
    slowestTenantCall: Math.round(figures.slowestTenantCall),
    faults: Object.fromEntries(figures.faults),
    statuses: Object.fromEntries(statuses),
  }),
);
process.exitCode = failed ? 1 : 0;

/** One round: requests, a fault in their midst, rest, the oracle. */
async function play(round: number): Promise<void> {
  const [plan] = fc.sample(fc.record({ victim: fc.nat(2), all: commands(5_000) }), {
    seed: seed + round,
    numRuns: 1,
  });
  assert.ok(plan);
  const { victim, all } = plan;
  // In turn, since a drawing of one favours the first few.
  const fault = FAULTS[(seed + round) % FAULTS.length] as Fault;
  const times = new FaultTimes();
  const platform = new Platform({
    cluster,
    replicas: () => replicas,
    name: `round-${round}`,
    isFaulty: (since) => times.since(since),
  });
  let goesOn = true;
  const loads = tenants.map((credentials, index) => new TenantLoad(`${round}-${index}`, credentials));
  for (const load of loads) {
    load.start();
  }
  let seen: string[][] = [];
  const traffic = platform.run(all, 10, () => goesOn);
  traffic.catch(() => undefined);
  try {
    await sleep(1_000);
    await breakSomething(fault, victim, times);
    await sleep(2_000);
  } finally {
    goesOn = false;
    seen = await Promise.all(loads.map((load) => load.end()));
    await traffic.finally(() => {
      figures.requests += platform.requests;
      figures.slowest = Math.max(figures.slowest, platform.slowestMs);
      for (const [status, count] of platform.statuses) {
        statuses.set(status, (statuses.get(status) ?? 0) + count);
      }
    });
  }
  await platform.settle();
  assert.deepEqual(seen.flat(), []);
  for (const { history, longest } of loads) {
    figures.tenantCalls += history.length;
    figures.slowestTenantCall = Math.max(figures.slowestTenantCall, longest);
  }
  figures.checks += platform.checks;
  figures.faults.set(fault, (figures.faults.get(fault) ?? 0) + 1);
  console.log(
    `round ${round}: ${fault}; ${platform.requests} requests, ${platform.checks} credentials tried`,
  );
}

async function breakSomething(fault: Fault, victim: number, times: FaultTimes): Promise<void> {
  if (fault === 'nothing') {
    return;
  }
  const end = times.begin();
  const replica = replicas[victim] as BrokerProcess;
  switch (fault) {
    case 'a replica is killed':
    case 'a replica is stopped':
      await replica.kill(fault === 'a replica is killed' ? 'SIGKILL' : 'SIGTERM');
      await replica.start();
      end(TAKEN_OVER_MS);
      break;
    case 'all replicas are killed':
      await Promise.all(replicas.map((each) => each.kill('SIGKILL')));
      await Promise.all(replicas.map((each) => each.start()));
      end(TAKEN_OVER_MS);
      break;
    case 'a portal is killed':
    case 'a portal is stopped':
      await house?.endPortal(victim % 2, fault === 'a portal is killed' ? 'SIGKILL' : 'SIGTERM');
      await sleep(1_000);
      await house?.startPortal(victim % 2);
      end(0);
      break;
    case 'a replica is frozen':
      // Longer than its session lives: when it wakes up, its work is another's.
      await replica.kill('SIGSTOP');
      await sleep(7_000);
      await replica.kill('SIGCONT');
      end(GRACE_MS);
      break;
    case 'the leader is killed': {
      const leader = await leaderOf(cluster);
      process.kill(cluster.embedded.members[leader]?.pid as number, 'SIGKILL');
      await quorumReturns(cluster, [leader]);
      end(GRACE_MS);
      break;
    }
    case 'a member is frozen':
    case 'two members are frozen': {
      const leader = await leaderOf(cluster);
      const members = fault === 'a member is frozen' ? [leader] : [leader, (leader + 1) % 3];
      const thaw = freeze(cluster, members);
      try {
        if (fault === 'a member is frozen') {
          await quorumReturns(cluster, members);
          end(GRACE_MS);
        }
        await sleep(8_000);
      } finally {
        thaw();
      }
      if (fault === 'two members are frozen') {
        await quorumReturns(cluster);
        end(GRACE_MS);
      }
      break;
    }
    default:
      assert.fail(fault);
  }
  await sleep(GRACE_MS);
}
