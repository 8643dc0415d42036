import assert from 'node:assert/strict';
import type { EtcdClient } from '../../src/etcd/client.js';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { rootConnection } from '../support/root-connection.js';
import { eventually } from '../support/time.js';

describe('A broker that has nothing to do', () => {
  let broker: TestBroker;
  let root: EtcdClient;

  before(async () => {
    broker = await startTestBroker();
    root = await rootConnection(broker);
    assert.equal((await broker.provision('i')).status, 201);
  });
  after(async () => {
    root?.close();
    await broker?.dispose();
  });

  const revision = async () =>
    (await root.kv.range({ key: Buffer.from('/'), count_only: true })).header.revision;
  /** How often the clock's keeper has looked at the time that is left. */
  const looks = async () => {
    const { text } = await broker.send('GET', '/metrics');
    const found =
      /compose_etcd_etcd_call_duration_seconds_count\{method="leaseTimeToLive",outcome="ok"\} (\d+)/i.exec(
        text,
      );
    return Number(found?.[1] ?? 0);
  };

  it('writes nothing while a binding is due in 30 days and /ready is asked all the time', async () => {
    assert.equal((await broker.bind('i', 'b', { parameters: { expires_in: '30d' } })).status, 201);
    assert.equal((await broker.send('GET', '/ready')).status, 200);
    // The first look may take the clock over.
    const first = await looks();
    await eventually(async () => assert.ok((await looks()) >= first + 2));
    const before = await revision();
    const from = await looks();
    await eventually(async () => {
      assert.equal((await broker.send('GET', '/ready')).status, 200);
      assert.ok((await looks()) >= from + 3);
    }, 20_000);
    assert.equal(await revision(), before);
  });
});
