import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { bindingPath, instancePath, startTestBroker, type TestBroker } from '../support/broker.js';
import { assertError, assertNothingChanges } from '../support/replies.js';

describe('Transport', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker();
    assert.equal((await broker.provision('i')).status, 201);
    assert.equal((await broker.bind('i', 'b')).status, 201);
  });
  after(() => broker.dispose());

  const catalogWith = (headers: Record<string, string | undefined>) =>
    broker.send('GET', '/v2/catalog', { headers });
  const identity = (value: string) => Buffer.from(value).toString('base64');

  for (const version of ['2.13', '2.14', '2.15', '2.16', '2.17', '2.18', '2.99']) {
    it(`rule 2: API version ${version} is served`, async () => {
      assert.equal((await catalogWith({ 'x-broker-api-version': version })).status, 200);
    });
  }

  for (const version of [
    undefined,
    '',
    '1.0',
    '2.0',
    '2.12',
    '2',
    '3.0',
    '2.x',
    '2.17.1',
    'v2.17',
    '2.17, 2.17',
  ]) {
    it(`rule 2: API version ${JSON.stringify(version)} is 412 and the header is named`, async () => {
      const headers = { 'x-broker-api-version': version };
      const replies = await assertNothingChanges(broker, async () => [
        await catalogWith(headers),
        await broker.send('PUT', instancePath('new'), { body: broker.provisionBody(), headers }),
        await broker.send('DELETE', instancePath('i'), { headers }),
      ]);
      for (const reply of replies) {
        assertError(reply, 412);
        assert.match(reply.body.description, /X-Broker-API-Version/);
      }
    });
  }

  it('rule 3: headers of the platform and of tracing are tolerated', async () => {
    const headers = {
      'x-vcap-request-id': 'c8b06a0c-0a1c-4f1b-b5cd-6a4a1b3cd3ab::1',
      'x-api-info-location': 'api.example.com/v2/info',
      'x-b3-traceid': '463ac35c9f6413ad48485a3953bb6124',
      'x-b3-spanid': 'a2fb4a1d1a96d312',
      'x-b3-sampled': '1',
      'x-cf-applicationid': 'x',
      accept: 'application/json',
      'user-agent': 'HTTPClient/1.0 (2.8.3, ruby 3.2.2 (2023-03-30))',
    };
    assert.equal((await catalogWith(headers)).status, 200);
  });

  it('rule 3: the request identity is echoed, on failures too', async () => {
    const headers = { 'x-broker-api-request-identity': 'e26cee84-6b38-4456-b34e-d1a9f002c956' };
    for (const reply of [
      await catalogWith(headers),
      await catalogWith({ ...headers, authorization: undefined }),
      await catalogWith({ ...headers, 'x-broker-api-version': undefined }),
      await broker.send('GET', instancePath('none'), { headers }),
      await broker.send('PUT', instancePath('none'), { headers, body: '{' }),
      await broker.send('DELETE', `${instancePath('none')}?service_id=a&plan_id=b`, { headers }),
    ]) {
      assert.equal(
        reply.headers['x-broker-api-request-identity'],
        headers['x-broker-api-request-identity'],
        `on ${reply.status}`,
      );
    }
    assert.equal((await catalogWith({})).headers['x-broker-api-request-identity'], undefined);
  });

  for (const [what, value] of [
    ['nothing but a platform', 'cloudfoundry'],
    ['an empty value', 'cloudfoundry '],
    ['no base64', 'cloudfoundry !!!!'],
    ['no JSON', `cloudfoundry ${identity('user')}`],
    ['an array', `cloudfoundry ${identity('[]')}`],
    ['a text', `cloudfoundry ${identity('"user"')}`],
    ['null', `cloudfoundry ${identity('null')}`],
    ['a third word', `cloudfoundry ${identity('{}')} more`],
    ['JSON that is not encoded', 'cloudfoundry {"user_id":"u"}'],
  ] as const) {
    it(`rule 3: an originating identity with ${what} is 400 and changes nothing`, async () => {
      const headers = { 'x-broker-api-originating-identity': value };
      const replies = await assertNothingChanges(broker, async () => [
        await broker.send('PUT', instancePath('new'), { body: broker.provisionBody(), headers }),
        await broker.send('PUT', bindingPath('i', 'new'), { body: broker.bindBody(), headers }),
      ]);
      for (const reply of replies) {
        assertError(reply, 400);
        assert.match(reply.body.description, /X-Broker-API-Originating-Identity/);
      }
    });
  }

  it('rule 3: a good originating identity is taken, and none is needed', async () => {
    const value = `cloudfoundry ${identity('{"user_id":"683ea748-3092-4ff4-b656-39cacc4d5360"}')}`;
    assert.equal((await catalogWith({ 'x-broker-api-originating-identity': value })).status, 200);
    assert.equal((await catalogWith({ 'x-broker-api-originating-identity': undefined })).status, 200);
  });

  it('rule 4: the ids of a DELETE are read from the query string alone', async () => {
    const body = { service_id: broker.service.id, plan_id: broker.plan.id };
    await assertNothingChanges(broker, async () => {
      assertError(await broker.send('DELETE', instancePath('i'), { body }), 400);
      assertError(await broker.send('DELETE', bindingPath('i', 'b'), { body }), 400);
    });
  });

  it('rule 5: every answer is a JSON object', async () => {
    const ids = `service_id=${broker.service.id}&plan_id=${broker.plan.id}`;
    for (const [method, path, body] of [
      ['GET', '/v2/catalog'],
      ['PUT', instancePath('r5'), broker.provisionBody()],
      ['GET', instancePath('r5')],
      ['PATCH', instancePath('r5'), { service_id: broker.service.id }],
      ['GET', `${instancePath('r5')}/last_operation`],
      ['PUT', bindingPath('r5', 'b'), broker.bindBody()],
      ['GET', bindingPath('r5', 'b')],
      ['GET', `${bindingPath('r5', 'b')}/last_operation`],
      ['DELETE', `${bindingPath('r5', 'b')}?${ids}`],
      ['DELETE', `${instancePath('r5')}?${ids}`],
      ['DELETE', `${instancePath('r5')}?${ids}`],
      ['GET', instancePath('r5')],
      ['GET', '/nowhere'],
      ['GET', '/health'],
      ['GET', '/ready'],
    ] as const) {
      const reply = await broker.send(method, path, body === undefined ? {} : { body });
      assert.match(
        reply.headers['content-type'] ?? '',
        /^application\/json(;|$)/,
        `${method} ${path} ${reply.status}`,
      );
      assert.ok(
        typeof reply.body === 'object' && reply.body !== null && !Array.isArray(reply.body),
        `an object expected for ${method} ${path}, got ${reply.text}`,
      );
      if (method === 'DELETE' && reply.status === 200) {
        assert.equal(reply.text, '{}');
      }
    }
  });

  for (const [what, request] of [
    ['the version', { headers: { 'x-broker-api-version': undefined } }],
    ['the originating identity', { headers: { 'x-broker-api-originating-identity': 'x' } }],
    ['the body', { body: '{' }],
    ['the size of the body', { body: 'x'.repeat(2 << 20) }],
  ] as const) {
    it(`rule 6: 401 comes before a complaint about ${what}`, async () => {
      const headers = { ...('headers' in request ? request.headers : {}), authorization: undefined };
      const reply = await broker.send('PUT', instancePath('new'), { ...request, headers });
      assertError(reply, 401);
      assert.match(reply.headers['www-authenticate'] ?? '', /^Basic realm="[^"]+"/);
    });
  }

  it('rule 6: 401 for what does not exist, for unknown addresses, methods and ids', async () => {
    await assertNothingChanges(broker, async () => {
      for (const [method, path] of [
        ['GET', '/v2/nowhere'],
        ['GET', '/nowhere'],
        ['POST', '/v2/catalog'],
        ['GET', instancePath('none')],
        ['DELETE', instancePath('i')],
        ['PUT', '/v2/service_instances/%'],
        ['GET', '/metrics'],
      ] as const) {
        const headers = { authorization: 'Basic eDp5' };
        assertError(await broker.send(method, path, { headers }), 401);
      }
    });
  });

  it('rule 15a: what is no HTTP at all gets an answer in JSON too', async () => {
    const long = `GET /v2/catalog HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(40_000)}\r\n\r\n`;
    for (const [request, status] of [
      [long, 431],
      ['NONSENSE\r\n\r\n', 400],
      ['GET /v2/catalog HTTP/1.1\r\nBad Header\r\n\r\n', 400],
    ] as const) {
      const answer = await rawRequest(broker.url, request);
      const [head = '', body = ''] = answer.split('\r\n\r\n');
      assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `));
      assert.match(head, /content-type: application\/json/i);
      assert.match(JSON.parse(body).description, /^\S.+\.$/);
    }
    assert.equal((await catalogWith({})).status, 200);
  });

  it('rule 26: the answers with credentials are not kept by caches', async () => {
    for (const reply of [await broker.bind('i', 'b'), await broker.send('GET', bindingPath('i', 'b'))]) {
      assert.equal(reply.status, 200);
      assert.equal(reply.headers['cache-control'], 'no-store');
    }
  });

  it('says nothing of the software that it is made of', async () => {
    const { headers } = await catalogWith({});
    assert.equal(headers['x-powered-by'], undefined);
    assert.equal(headers.server, undefined);
  });
});

function rawRequest(url: string, text: string): Promise<string> {
  const { port } = new URL(url);
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(port), 'localhost', () => socket.write(text));
    socket.setTimeout(5_000, () => socket.destroy(new Error('no answer within 5 s')));
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', (error) => (answer === '' ? reject(error) : resolve(answer)));
    socket.on('close', () => resolve(answer));
  });
}
