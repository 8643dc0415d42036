import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { bindingPath, type Reply } from '../support/broker.js';
import { BrokerProcess } from './support/broker-process.js';
import { TestCluster } from './support/cluster.js';
import { assertOracle, credentialsWork, takeInventory } from './support/oracle.js';

const BINDS = 200;
const RESTARTS = 10;
const AT_ONCE = 8;

describe('A broker that is restarted while clients work', () => {
  let cluster: TestCluster;
  let broker: BrokerProcess;

  before(async () => {
    cluster = await TestCluster.start();
    broker = await new BrokerProcess({ env: cluster.env() }).start();
    assert.equal((await broker.provision('busy')).status, 201);
  });
  after(async () => {
    await broker?.dispose();
    await cluster?.stop();
  });

  it(`loses no bind of ${BINDS} in ${RESTARTS} restarts`, async () => {
    const answers = new Map<string, Reply>();
    const statuses = new Map<number | 'none', number>();
    const count = (status: number | 'none') => statuses.set(status, (statuses.get(status) ?? 0) + 1);
    const ids = Array.from({ length: BINDS }, (_, index) => `binding-${index}`);
    let restarting = Promise.resolve();
    let restarts = 0;

    const restart = async () => {
      restarts += 1;
      const signal = restarts % 3 === 0 ? 'SIGKILL' : 'SIGTERM';
      const startedAt = performance.now();
      await broker.kill(signal);
      assert.ok(performance.now() - startedAt < 10_000, `${signal} took too long`);
      if (signal === 'SIGTERM') {
        assert.equal(await broker.exited, 0);
      }
      await broker.start();
    };
    const bind = async (id: string) => {
      const deadline = performance.now() + 30_000;
      let last = '';
      for (;;) {
        assert.ok(
          performance.now() < deadline,
          `${id} never came to an end: ${last} ${broker.logged.slice(-30).join('\n')}`,
        );
        try {
          const reply = await broker.bind('busy', id);
          count(reply.status);
          last = reply.text;
          if (reply.status === 201 || reply.status === 200) {
            answers.set(id, reply);
            return;
          }
          assert.ok(reply.status >= 500 || reply.status === 422, reply.text);
          assert.ok(reply.body.description.length > 0);
        } catch (error) {
          if (error instanceof assert.AssertionError) {
            throw error;
          }
          count('none');
        }
        await sleep(100);
      }
    };
    const client = async () => {
      for (let id = ids.shift(); id !== undefined; id = ids.shift()) {
        await bind(id);
        if (answers.size >= (BINDS / (RESTARTS + 1)) * (restarts + 1) && restarts < RESTARTS) {
          restarting = restarting.then(restart);
          // The others go on meanwhile, so that the restart meets binds on their way.
          await restarting;
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, client));
    await restarting;
    assert.equal(restarts, RESTARTS);
    console.log(`      answers: ${[...statuses].map(([status, times]) => `${status}: ${times}`).join(', ')}`);

    await assertOracle(cluster);
    const { bindings } = await takeInventory(cluster);
    assert.equal(bindings.size, BINDS);
    for (const [id, { body }] of answers) {
      assert.equal(bindings.get(`busy ${id}`)?.username, body.credentials.username, `${id} is another's`);
      assert.ok(
        await credentialsWork(cluster, body.credentials),
        `${id}: credentials that were answered fail`,
      );
    }
    const fetched = await broker.send('GET', bindingPath('busy', 'binding-0'));
    assert.deepEqual(fetched.body.credentials, {
      ...answers.get('binding-0')?.body.credentials,
      // It names where the broker listens, which is another port now.
      instance_administration_api: fetched.body.credentials.instance_administration_api,
    });
  });
});
