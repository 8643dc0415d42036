import assert from 'node:assert/strict';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { assertError } from '../support/replies.js';

describe('GET /v2/catalog', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker();
  });
  after(() => broker.dispose());

  const get = (headers: Record<string, string> = {}) => broker.send('GET', '/v2/catalog', { headers });

  it('rule 26: answers with an entity tag', async () => {
    const reply = await get();
    assert.equal(reply.status, 200);
    assert.match(reply.headers.etag ?? '', /^"[^"]+"$/);
    assert.equal(reply.body.services[0].name, 'compose-for-etcd');
    assert.equal(Number(reply.headers['content-length']), Buffer.byteLength(reply.text));
  });

  it('rule 26: 304 without a body for the entity tag, however it is sent', async () => {
    const etag = (await get()).headers.etag as string;
    for (const header of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const reply = await get({ 'if-none-match': header });
      assert.equal(reply.status, 304, header);
      assert.equal(reply.text, '');
      assert.equal(reply.headers.etag, etag);
    }
  });

  it('rule 26: 200 for another entity tag', async () => {
    for (const header of ['"other"', 'nonsense', '']) {
      assert.equal((await get({ 'if-none-match': header })).status, 200, header);
    }
  });

  it('is the same each time, with a query or without', async () => {
    const [first, second] = [await get(), await broker.send('GET', '/v2/catalog?x=y')];
    assert.equal(first.text, second.text);
    assert.equal(first.headers.etag, second.headers.etag);
  });

  it('does not publish what is for the broker alone', async () => {
    assert.doesNotMatch((await get()).text, /quota_bytes/);
  });

  it('takes no other method', async () => {
    for (const method of ['PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS']) {
      const reply = await broker.send(method, '/v2/catalog');
      assertError(reply, 405);
      assert.equal(reply.headers.allow, 'GET');
    }
    const head = await broker.send('HEAD', '/v2/catalog');
    assert.equal(head.status, 200);
    assert.equal(head.text, '');
  });
});
