import assert from 'node:assert/strict';
import type { EtcdBinary } from '../../src/embedded/etcd-binary.js';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { availableEtcds } from '../support/etcd-versions.js';
import { OperatorEtcd } from '../support/operator-etcd.js';
import { type Credentials, connect, connectAsRoot, inventory } from '../support/tenant.js';

describe('Every etcd version that can be had', () => {
  let versions: EtcdBinary[];

  before(async () => {
    versions = await availableEtcds();
  });

  async function story(broker: TestBroker): Promise<void> {
    assert.equal((await broker.provision('i')).status, 201);
    const [own, reader] = [
      await broker.bind('i', 'b', { parameters: { key_space: 'data' } }),
      await broker.bind('i', 'r', { parameters: { key_space: 'data', access: 'readonly' } }),
    ];
    assert.deepEqual([own.status, reader.status], [201, 201]);
    const credentials: Credentials = own.body.credentials;
    const clients = [own, reader].map(({ body }) => connect(body.credentials, body.credentials.uri));
    const [client, readClient] = clients as [(typeof clients)[0], (typeof clients)[0]];
    try {
      const key = `${credentials.key_prefix}word`;
      await client.put(key).value('hello');
      assert.equal(await readClient.get(key).string(), 'hello');
      await assert.rejects(readClient.put(key).value('x').exec(), /permission denied/);
      await assert.rejects(client.put('/d/elsewhere').value('x').exec(), /permission denied/);
      assert.equal((await broker.unbind('i', 'b')).status, 200);
      await assert.rejects(client.get(key).exec());
      assert.equal(await readClient.get(key).string(), 'hello');
    } finally {
      for (const each of clients) {
        each.close();
      }
    }
    assert.equal((await broker.deprovision('i')).status, 200);
  }

  it("tells the story on an embedded etcd and on an operator's", async () => {
    assert.ok(versions.some(({ version }) => version.startsWith('3.4.')));
    for (const binary of versions) {
      console.log(`      etcd ${binary.version}`);
      const embedded = await startTestBroker({ ETCD_BINARY: binary.path });
      try {
        const root = await connectAsRoot(embedded);
        const before = await inventory(root);
        await story(embedded);
        assert.deepEqual(await inventory(root), before, binary.version);
        root.close();
      } finally {
        await embedded.dispose();
      }
      const etcd = await OperatorEtcd.start({ binary });
      try {
        const external = await startTestBroker(etcd.settings);
        try {
          assert.ok(external.said.includes(`etcd: version ${binary.version}`));
          await story(external);
        } finally {
          await external.dispose();
        }
      } finally {
        await etcd.stop();
      }
    }
  });
});
