import assert from 'node:assert/strict';
import { bindingPath, instancePath, startTestBroker, type TestBroker } from '../support/broker.js';
import { whileEtcdIsFrozen } from '../support/cluster.js';
import { assertNoSecret } from '../support/secrets.js';
import { eventually } from '../support/time.js';

type Line = Record<string, unknown> & { by?: { platform: string; value: unknown } };

describe('Logs and metrics', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker();
    assert.equal((await broker.provision('i')).status, 201);
  });
  after(() => broker.dispose());

  /** The lines that a request with this identity has left, once they are there. */
  const linesOf = (request: string, count: number) =>
    eventually(async () => {
      const lines = broker.logged.map((line): Line => JSON.parse(line));
      const found = lines.filter((line) => line.request === request);
      assert.equal(found.length, count, `${count} lines expected for ${request}`);
      return found;
    }, 2_000);
  const user = { user_id: '683ea748-3092-4ff4-b656-39cacc4d5360', user_name: 'ключ' };
  const headersFor = (request: string) => ({
    'x-broker-api-request-identity': request,
    'x-broker-api-originating-identity': `cloudfoundry ${Buffer.from(JSON.stringify(user)).toString('base64')}`,
  });

  it('one line a request: its identity, instance, binding, status and time', async () => {
    const headers = { 'x-broker-api-request-identity': 'read' };
    await broker.send('GET', bindingPath('i', 'none'), { headers });
    const [line] = await linesOf('read', 1);
    assert.equal(line?.method, 'GET');
    assert.equal(line?.instance, 'i');
    assert.equal(line?.binding, 'none');
    assert.equal(line?.status, 404);
    assert.equal(typeof line?.ms, 'number');
    assert.ok(!Number.isNaN(Date.parse(String(line?.time))));
  });

  for (const [what, request, status] of [
    ['a bind', { path: bindingPath('i', 'audited'), body: 'bind' }, 201],
    ['a bind that is refused', { path: bindingPath('i', 'audited-2'), body: 'bad' }, 400],
    ['a bind whose body is malformed', { path: bindingPath('i', 'audited-3'), body: '{' }, 400],
  ] as const) {
    it(`rule 3: ${what} leaves an audit line with the platform's user`, async () => {
      const bodies: Record<string, unknown> = {
        bind: broker.bindBody(),
        bad: broker.bindBody({ parameters: { nonsense: 1 } }),
      };
      const body = bodies[request.body] ?? request.body;
      const reply = await broker.send('PUT', request.path, { body, headers: headersFor(what) });
      assert.equal(reply.status, status);
      const [line, audit] = await linesOf(what, 2);
      assert.equal(line?.status, status);
      assert.equal(line?.instance, 'i');
      assert.equal(audit?.audit, true);
      assert.equal(audit?.instance, 'i');
      assert.match(String(audit?.binding), /^audited/);
      assert.deepEqual(audit?.by, { platform: 'cloudfoundry', value: user });
      assert.equal(audit?.reason, reply.body.description);
    });
  }

  it('the id that Cloud Foundry gives a request stands in for a missing request identity', async () => {
    await broker.send('GET', '/v2/catalog', { headers: { 'x-vcap-request-id': 'vcap' } });
    await linesOf('vcap', 1);
  });

  it('reads leave no audit line', async () => {
    await broker.send('GET', instancePath('i'), { headers: headersFor('no-audit') });
    const [line] = await linesOf('no-audit', 1);
    assert.equal(line?.audit, undefined);
  });

  it('a request can not forge a line, nor write a long one', async () => {
    const id = `x\n{"audit":true,"forged":1}`;
    const headers = { 'x-broker-api-request-identity': 'y'.repeat(5_000) };
    await broker.send('GET', instancePath(id), { headers });
    const [line] = await linesOf('y'.repeat(256), 1);
    assert.equal(line?.instance, id);
    for (const text of broker.logged) {
      assert.equal(text.trimEnd().split('\n').length, 1);
      assert.ok(text.length < 5_000);
    }
  });

  it('no line holds a body, a query string, credentials or an Authorization header', async () => {
    const context = { secret_of_the_user: 'hidden-in-the-context' };
    await broker.provision('quiet', { context });
    await broker.send('GET', `${instancePath('quiet')}?operation=hidden-in-the-query`);
    const { credentials } = (await broker.bind('quiet', 'b')).body;
    await broker.unbind('quiet', 'b');
    const forms = ['hidden-in-the-context', 'hidden-in-the-query', credentials.uri, credentials.uri_cli];
    assertNoSecret([...broker.secrets, ...forms], { 'the log': broker.logged });
    assert.ok(broker.logged.every((line) => !/authorization|Basic /i.test(line)));
  });

  it('metrics: requests, operations, calls to etcd, instances, bindings and open operations', async () => {
    assert.equal((await broker.provision('m')).status, 201);
    assert.equal((await broker.bind('m', 'b')).status, 201);
    const body = { service_id: broker.service.id };
    assert.equal((await broker.send('PATCH', instancePath('m'), { body })).status, 200);
    assert.equal((await broker.unbind('m', 'b')).status, 200);
    assert.equal((await broker.deprovision('m')).status, 200);
    const { status, text, headers } = await broker.send('GET', '/metrics', {
      headers: { 'x-broker-api-version': undefined },
    });
    assert.equal(status, 200);
    assert.match(headers['content-type'] ?? '', /^text\/plain/);
    for (const pattern of [
      /^compose_etcd_http_request_duration_seconds_count\{method="PUT",route="\/v2\/service_instances\/:instance_id",status="201"\} [1-9]/m,
      /^compose_etcd_http_request_duration_seconds_bucket\{le="0\.01",method="GET"/m,
      /^compose_etcd_etcd_call_duration_seconds_count\{method="txn",outcome="ok"\} [1-9]/m,
      /^compose_etcd_instances \d+$/m,
      /^compose_etcd_bindings \d+$/m,
      /^compose_etcd_open_operations 0$/m,
      /^compose_etcd_ready 1$/m,
      ...['provision', 'update', 'deprovision', 'bind', 'unbind'].map(
        (kind) =>
          new RegExp(`^compose_etcd_operations_total\\{kind="${kind}",result="succeeded"\\} [1-9]`, 'm'),
      ),
    ]) {
      assert.match(text, pattern);
    }
    assert.doesNotMatch(text, /"(i|m|quiet|audited)"/, 'no id of the platform in a label');
  });

  it('rule 6: metrics need the credentials; health and readiness do not', async () => {
    const headers = { authorization: undefined };
    assert.equal((await broker.send('GET', '/metrics', { headers })).status, 401);
    assert.equal((await broker.send('GET', '/health', { headers })).status, 200);
    const ready = await broker.send('GET', '/ready', { headers });
    assert.equal(ready.status, 200);
    assert.equal(ready.body.status, 'ok');
  });

  it('while etcd does not answer: healthy, not ready, and the metrics are there and say so', async function () {
    this.timeout(30_000);
    const [health, ready, metrics] = await whileEtcdIsFrozen(broker, async () => {
      await new Promise((resolve) => setTimeout(resolve, 600)); // an answer of the last half second is still good
      return Promise.all([
        broker.send('GET', '/health'),
        broker.send('GET', '/ready'),
        broker.send('GET', '/metrics'),
      ]);
    });
    assert.equal(health.status, 200);
    assert.equal(ready.status, 503);
    assert.notEqual(ready.body.checks.etcd, 'ok');
    assert.equal(metrics.status, 200, metrics.text);
    assert.match(metrics.text, /^compose_etcd_ready 0$/m);
    assert.match(
      metrics.text,
      /^compose_etcd_etcd_call_duration_seconds_count\{method="\w+",outcome="timeout"\} [1-9]/m,
    );
    await eventually(async () => assert.equal((await broker.send('GET', '/ready')).status, 200));
  });
});
