import assert from 'node:assert/strict';
import { Etcd3 } from 'etcd3';
import { startTestBroker, type TestBroker } from '../support/broker.js';

describe('The story of one instance', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker();
  });
  after(() => broker.dispose());

  it('create, bind, use, unbind, delete', async () => {
    assert.equal((await broker.provision('i')).status, 201);
    const bound = await broker.bind('i', 'b');
    assert.equal(bound.status, 201);
    const { credentials } = bound.body;
    const client = new Etcd3({
      hosts: new URL(credentials.uri).origin,
      credentials: { rootCertificate: Buffer.from(credentials.ca_certificate_base64, 'base64') },
      auth: { username: credentials.username, password: credentials.password },
    });
    try {
      await client.put(`${credentials.key_prefix}word`).value('hello');
      assert.equal(await client.get(`${credentials.key_prefix}word`).string(), 'hello');
      await assert.rejects(client.put('/d/elsewhere').value('x').exec(), /permission denied/);
      assert.equal((await broker.unbind('i', 'b')).status, 200);
      await assert.rejects(client.get(`${credentials.key_prefix}word`).string());
    } finally {
      client.close();
    }
    assert.equal((await broker.deprovision('i')).status, 200);
    assert.equal((await broker.deprovision('i')).status, 410);
  });
});
