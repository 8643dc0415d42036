import fc from 'fast-check';
import { BrokerProcess } from './support/broker-process.js';
import { TestCluster } from './support/cluster.js';
import { commands, Platform } from './support/platform.js';

const ROUNDS = 4;
const COMMANDS = 500;
const IN_FLIGHT = 20;

describe('Three replicas and a platform that misbehaves', () => {
  let cluster: TestCluster;
  let replicas: BrokerProcess[] = [];

  before(async () => {
    cluster = await TestCluster.start();
    replicas = Array.from({ length: 3 }, () => new BrokerProcess({ env: cluster.env() }));
    await Promise.all(replicas.map((replica) => replica.start()));
  });
  after(async () => {
    await Promise.all(replicas.map((replica) => replica.dispose()));
    await cluster?.stop();
  });

  it('never answer what the specification does not allow, and leave nothing half done', async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
    console.log(`      seed ${seed} (SEED=${seed} repeats it)`);
    let round = 0;
    await fc.assert(
      fc.asyncProperty(commands(COMMANDS), async (all) => {
        round += 1;
        const platform = new Platform({ cluster, replicas: () => replicas, name: `round-${round}` });
        await platform.run(all, IN_FLIGHT);
        await platform.settle();
        const statuses = [...platform.statuses].map(([status, count]) => `${status}: ${count}`).join(', ');
        console.log(
          `      ${statuses}; slowest ${Math.round(platform.slowestMs)} ms; ${platform.checks} credentials tried`,
        );
      }),
      { seed, numRuns: ROUNDS, endOnFailure: true },
    );
  });
});
