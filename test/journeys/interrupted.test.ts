import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { isBindingName } from '../../src/cluster/access-control.js';
import type { EtcdClient } from '../../src/etcd/client.js';
import { HistoryLease } from '../../src/records/history-lease.js';
import { RecordStore } from '../../src/records/record-store.js';
import { type BrokerProcess, brokerProcess } from '../support/broker-process.js';
import { OperatorEtcd } from '../support/operator-etcd.js';
import { type Credentials, connect, inventory } from '../support/tenant.js';

const RESUMED_WITHIN_MS = 10_000;
const ROUNDS = 2;
const BINDS = 24;

describe('A broker that is killed in the middle of binds', () => {
  let etcd: OperatorEtcd;
  let root: EtcdClient;
  let records: RecordStore;

  before(async () => {
    etcd = await OperatorEtcd.start();
    root = etcd.connect();
    records = new RecordStore(root, new HistoryLease(root), { id: 'a-test' });
  });
  after(() => etcd?.stop());

  /** Every record is whole, and etcd holds the users and roles of the records and no others. */
  async function assertConsistent(): Promise<void> {
    const names: string[] = [];
    for await (const { value } of records.bindings()) {
      assert.equal(value.state, 'ready', `${value.binding_id} is ${value.state}`);
      assert.equal(value.work, undefined);
      names.push(value.username);
      const { roles } = await root.auth.userGet({ name: value.username });
      assert.deepEqual(roles, [value.role]);
      const { perm } = await root.auth.roleGet({ role: value.role });
      assert.deepEqual(
        perm.map(({ key }) => key.toString('utf8')),
        [value.key_prefix],
      );
    }
    const { users, roles } = await inventory(root);
    assert.deepEqual(users.filter(isBindingName), names.sort());
    assert.deepEqual(roles.filter(isBindingName), names.sort());
  }

  async function untilNothingIsOpen(): Promise<number> {
    const startedAt = performance.now();
    for (;;) {
      const { operations } = await records.openOperations();
      const milliseconds = performance.now() - startedAt;
      if (operations.length === 0) {
        return milliseconds;
      }
      assert.ok(milliseconds < RESUMED_WITHIN_MS, `still open: ${JSON.stringify(operations)}`);
      await sleep(50);
    }
  }

  it('leaves nothing half done: the next one finishes within seconds', async function () {
    this.timeout(120_000);
    let openAtDeath = 0;
    const settings = { ...etcd.settings, PUBLIC_URL: 'https://broker.example.com' };
    const brokers: BrokerProcess[] = [];
    try {
      const first = await (await brokerProcess(settings)).start();
      brokers.push(first);
      assert.equal((await first.provision('i')).status, 201);
      let broker = first;
      for (let round = 0; round < ROUNDS; round += 1) {
        const names = Array.from({ length: BINDS }, (_, index) => `b-${round}-${index}`);
        const binds = names.map((name) => broker.bind('i', name).catch(() => undefined));
        // At another moment each round, and always while some are under way.
        await Promise.race([Promise.any(binds), sleep(10 + 20 * round)]);
        await broker.end('SIGKILL');
        const answers = await Promise.all(binds);
        openAtDeath += (await records.openOperations()).operations.length;
        broker = await (await brokerProcess(settings)).start();
        brokers.push(broker);
        const milliseconds = await untilNothingIsOpen();
        console.log(`      round ${round + 1}: all finished after ${Math.round(milliseconds)} ms`);
        await assertConsistent();
        // What was handed out works, and who asks again gets the credentials of the interrupted bind, or new ones.
        for (const [index, name] of names.entries()) {
          const again = await broker.bind('i', name);
          assert.match(String(again.status), /^20[01]$/, again.text);
          const credentials: Credentials = again.body.credentials;
          const handedOut = answers[index];
          if (handedOut?.status === 201) {
            assert.deepEqual(credentials, handedOut.body.credentials);
          }
          if (index % 8 === 0) {
            const client = connect(credentials, credentials.uri);
            await client.put(`${credentials.key_prefix}word`).value(name);
            client.close();
          }
        }
      }
      assert.ok(openAtDeath > 0, 'no broker was killed in the middle of a bind');
      assert.equal((await broker.deprovision('i')).status, 200);
      await assertConsistent();
      assert.deepEqual((await inventory(root)).users, ['root']);
    } finally {
      for (const broker of brokers) {
        await broker.dispose();
      }
    }
  });
});
