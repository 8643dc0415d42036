import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { bindingPath, startTestBroker, type TestBroker } from '../support/broker.js';

type Credentials = {
  uri: string;
  ca_certificate_base64: string;
  username: string;
  password: string;
  key_prefix: string;
};

/** Whether a fresh client with these credentials can read its own keys. */
async function works(credentials: Credentials): Promise<boolean> {
  const client = new Etcd3({
    hosts: new URL(credentials.uri).origin,
    credentials: { rootCertificate: Buffer.from(credentials.ca_certificate_base64, 'base64') },
    auth: { username: credentials.username, password: credentials.password },
  });
  try {
    await client.get(`${credentials.key_prefix}x`).string();
    return true;
  } catch (error) {
    assert.match(String(error), /authentication failed|invalid (user|auth)|permission denied/i);
    return false;
  } finally {
    client.close();
  }
}

describe('A binding with expires_in', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker();
    await broker.provision('i');
  });
  after(() => broker.dispose());

  it('works until its time is up, and stops within 5 s of it', async () => {
    const startedAt = performance.now();
    const bound = await broker.bind('i', 'short', { parameters: { expires_in: '4s' } });
    assert.equal(bound.status, 201);
    const { metadata, credentials } = bound.body;
    assert.match(metadata.expires_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.ok(metadata.renew_before < metadata.expires_at);
    let endedAt: number | undefined;
    while (endedAt === undefined && performance.now() - startedAt < 12_000) {
      if (!(await works(credentials))) {
        endedAt = performance.now() - startedAt;
      }
      await sleep(100);
    }
    assert.ok(endedAt !== undefined, 'the credentials still worked after 12 s');
    assert.ok(endedAt >= 4_000, `the credentials stopped early, after ${endedAt} ms`);
    assert.ok(endedAt <= 9_000, `the credentials stopped late, after ${endedAt} ms`);
    assert.equal((await broker.send('GET', bindingPath('i', 'short'))).status, 200);
    const rotated = await broker.bind('i', 'late', { predecessor_binding_id: 'short' });
    assert.equal(rotated.status, 400, 'an expired binding has no successor');
    assert.equal((await broker.unbind('i', 'short')).status, 200);
  });

  it('hands its key space on when it is rotated before', async () => {
    const first = (await broker.bind('i', 'first', { parameters: { expires_in: '1h' } })).body;
    const second = await broker.bind('i', 'second', { predecessor_binding_id: 'first' });
    assert.equal(second.status, 201);
    assert.equal(second.body.credentials.key_prefix, first.credentials.key_prefix);
    assert.ok(second.body.metadata.expires_at >= first.metadata.expires_at);
    assert.equal((await broker.unbind('i', 'first')).status, 200);
    assert.equal(await works(second.body.credentials), true);
    const names = await broker.send('GET', bindingPath('i', 'second'));
    assert.deepEqual(names.body.parameters, { expires_in: '1h' });
  });

  it('leaves a binding without it alone', async () => {
    const bound = await broker.bind('i', 'lasting');
    assert.equal(bound.body.metadata, undefined);
    assert.equal(await works(bound.body.credentials), true);
  });
});
