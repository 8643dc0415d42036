import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { openCertificates } from '../../../src/embedded/certificates.js';
import { PortalGauges } from '../../../src/portal/limits/gauges.js';
import { fixedCertificate } from '../../../src/portal/tls.js';
import { PortalHouse, until } from '../support/portal.js';
import { JsonClient, RawSocket } from './support.js';

const b64 = (text: string) => Buffer.from(text).toString('base64');
const run = promisify(execFile);

describe('HTTP/JSON through a portal', () => {
  let house: PortalHouse;
  let client: JsonClient;
  let gauges: PortalGauges;

  before(async () => {
    gauges = new PortalGauges();
    house = await PortalHouse.start({}, { gauges });
    client = new JsonClient(house.url);
    await client.signIn(await house.bind('i', 'b', { key_space: 'shared' }));
  });

  after(() => house?.stop());

  const curl = async (...args: string[]) => (await run('curl', ['-sS', '-m', '10', ...args])).stdout;

  it('curl over HTTP/1.1 and over HTTP/2, with and without "Bearer"', async () => {
    const put = JSON.stringify({ key: b64('curl'), value: b64('v') });
    for (const version of ['--http1.1', '--http2-prior-knowledge']) {
      for (const token of [client.token, `Bearer ${client.token}`, `bearer ${client.token}`]) {
        const args = [version, '-H', `Authorization: ${token}`, `${house.url}/v3alpha/kv/put`, '-d', put];
        const { header } = JSON.parse(await curl(...args)) as { header: { revision: string } };
        assert.match(header.revision, /^\d+$/);
      }
    }
  });

  it('/version and /health need no login', async () => {
    const { status, text } = await client.post('/version', '', { method: 'GET', token: undefined });
    assert.equal(status, 200);
    assert.match(text, /^\{"etcdserver":"3\.\d+\.\d+","etcdcluster":"3\.\d+\.0"\}$/);
    const health = await client.post('/health', '', { method: 'GET', token: undefined });
    assert.deepEqual([health.status, health.text], [200, '{"health":"true","reason":""}']);
    assert.equal((await client.post('/health', '{}')).status, 405);
    assert.equal((await client.post('/version', '', { method: 'HEAD' })).status, 200);
  });

  it('what a tenant may not see does not exist, and what it may not do is refused', async () => {
    for (const path of [
      '/metrics',
      '/debug/vars',
      '/debug/pprof/heap',
      '/config/local/log',
      '/v2/keys',
      '/',
    ]) {
      for (const method of ['GET', 'POST', 'PUT']) {
        const { status, text } = await client.post(path, '{}', { method });
        assert.equal(status, 404, path);
        assert.equal((JSON.parse(text) as { code: number }).code, 5);
      }
    }
    for (const path of [
      '/v3/auth/user/add',
      '/v3/maintenance/defragment',
      '/v3/cluster/member/add',
      '/v3/auth/disable',
    ]) {
      const { status, text } = await client.post(path, {});
      assert.equal(status, 403, path);
      assert.match(text, /etcdserver: permission denied/);
    }
    const snapshot = await client.post('/v3/maintenance/snapshot', {});
    assert.equal(snapshot.status, 403);
    for (const method of ['GET', 'PUT', 'DELETE', 'HEAD', 'PATCH']) {
      const { status, headers } = await client.post('/v3/kv/range', '', { method });
      assert.deepEqual([status, headers.allow], [405, 'POST'], method);
    }
    assert.equal((await client.post('/v3/kv/range', '', { method: 'OPTIONS' })).status, 200);
  });

  it('errors have the statuses and bodies of etcd’s gateway', async () => {
    const range = { key: b64('k') };
    const stranger = new JsonClient(house.url);
    const without = await stranger.post('/v3/kv/range', range);
    assert.equal(without.status, 400);
    const message = 'etcdserver: user name is empty';
    assert.deepEqual(JSON.parse(without.text), { error: message, code: 3, message });
    const wrong = await client.post('/v3/kv/range', range, { token: 'nonsense' });
    assert.equal(wrong.status, 401);
    const stream = await client.post('/v3/lease/keepalive', { ID: 1 }, { token: 'nonsense' });
    assert.equal(stream.status, 401);
    const text = 'etcdserver: invalid auth token';
    assert.deepEqual(JSON.parse(stream.text), {
      error: { grpc_code: 16, http_code: 401, message: text, http_status: 'Unauthorized', code: 16 },
    });
    const late = await client.post('/v3/kv/range', range, { headers: { 'grpc-timeout': '1x' } });
    assert.deepEqual([late.status, JSON.parse(late.text).message], [400, 'invalid grpc-timeout: 1x']);
    const inTime = await client.post('/v3/kv/range', range, { headers: { 'grpc-timeout': '5S' } });
    assert.equal(inTime.status, 200);
    const token = { token: undefined, headers: { 'grpc-metadata-token': String(client.token) } };
    stranger.token = undefined;
    assert.equal((await stranger.post('/v3/kv/range', range, token)).status, 200);
  });

  it('a watch is a stream of lines, over either version of HTTP', async () => {
    const lines = await client.stream('/v3/watch', {
      create_request: { key: b64('w'), range_end: b64('x'), filters: ['NOPUT'], prev_kv: true },
    });
    assert.equal(lines.incoming.headers['content-type'], 'application/json');
    assert.match(await lines.next(), /^\{"result":\{"header":\{[^}]*\},"created":true\}\}$/);
    const session = connect(house.url);
    const second = session.request({
      ':method': 'POST',
      ':path': '/v3/watch',
      authorization: String(client.token),
    });
    let heard = '';
    second.setEncoding('utf8').on('data', (chunk: string) => {
      heard += chunk;
    });
    second.end(JSON.stringify({ create_request: { key: b64('w1'), watch_id: 9 } }));
    await until(() => heard.includes('\n'));
    await client.call('/v3/kv/put', { key: b64('w1'), value: b64('v') });
    await client.call('/v3/kv/deleterange', { key: b64('w1') });
    const event = JSON.parse(await lines.next()) as { result: { events: Record<string, unknown>[] } };
    assert.equal(event.result.events.length, 1);
    const [{ type, kv, prev_kv } = {}] = event.result.events;
    assert.equal(type, 'DELETE');
    assert.deepEqual(Object.keys(kv as object), ['key', 'mod_revision']);
    assert.equal((prev_kv as { value: string }).value, b64('v'));
    await until(() => heard.split('\n').length === 4);
    assert.match(heard, /"watch_id":"9","events":\[\{"kv":\{"key":"dzE="/);
    lines.close();
    session.destroy();
    await until(() => gauges.counts.streams === 0);
  });

  it('unbinding ends a watch and its connection', async () => {
    const other = new JsonClient(house.url);
    await other.signIn(await house.bind('i', 'gone', { key_space: 'shared' }));
    const lines = await other.stream('/v3/watch', { create_request: { key: b64('w') } });
    await lines.next();
    await house.broker.unbind('i', 'gone');
    assert.match(await lines.next(), /^\{"error":\{"grpc_code":16,.*"etcdserver: invalid auth token"/);
    await until(() => lines.isOver);
  });

  it('locks and elections', async () => {
    const { key } = await client.call('/v3/lock/lock', { name: b64('l') });
    assert.match(Buffer.from(String(key), 'base64').toString(), /^l\//);
    const { ID } = await client.call('/v3/lease/grant', { TTL: 60 });
    const { leader } = await client.call('/v3/election/campaign', {
      name: b64('e'),
      lease: ID,
      value: b64('me'),
    });
    const observed = await client.stream('/v3/election/observe', { name: b64('e') });
    assert.match(await observed.next(), new RegExp(`"value":"${b64('me')}"`));
    await client.call('/v3/election/proclaim', { leader, value: b64('still me') });
    assert.match(await observed.next(), new RegExp(`"value":"${b64('still me')}"`));
    observed.close();
    await client.call('/v3/election/resign', { leader });
    await client.call('/v3/lock/unlock', { key });
  });

  it('the largest request that etcd takes, and an answer of many megabytes', async () => {
    const value = Buffer.alloc(1_400_000, 7).toString('base64');
    for (let at = 0; at < 8; at++) {
      await client.call('/v3/kv/put', { key: b64(`large/${at}`), value });
    }
    const range = { key: b64('large/'), range_end: b64('large0') };
    const { kvs } = (await client.call('/v3/kv/range', range)) as { kvs: { value: string }[] };
    assert.ok(kvs.length === 8 && kvs.every((kv) => kv.value === value));
    const two = JSON.stringify(range);
    const overH2 = await curl(
      '--http2-prior-knowledge',
      '-H',
      `Authorization: ${client.token}`,
      '-o',
      '/dev/null',
      '-w',
      '%{http_code} %{size_download}',
      `${house.url}/v3/kv/range`,
      '-d',
      two,
    );
    assert.match(overH2, /^200 149\d{5}/);
    await client.call('/v3/kv/deleterange', range);
    const tooLarge = await client.post('/v3/kv/put', {
      key: b64('k'),
      value: Buffer.alloc(1_600_000).toString('base64'),
    });
    assert.deepEqual(
      [tooLarge.status, JSON.parse(tooLarge.text).message],
      [400, 'etcdserver: request is too large'],
    );
  });

  it('a drain lets requests end, closes idle connections and ends watches at once', async () => {
    const idle = await RawSocket.open(house.running.port);
    idle.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
    await idle.until('"true"');
    const lines = await client.stream('/v3/watch', { create_request: { key: b64('w') } });
    await lines.next();
    const { key } = await client.call('/v3/lock/lock', { name: b64('drain') });
    const waiting = client.call('/v3/lock/lock', { name: b64('drain') });
    const held = { key: b64('drain/'), range_end: b64('drain0') };
    await until(async () => (await client.call('/v3/kv/range', held)).count === '2');
    const drained = house.running.drain(10_000);
    await idle.closed();
    assert.match(await lines.next(), /"grpc_code":14,.*"etcdserver: server stopped"/);
    await until(() => lines.isOver);
    const { key_prefix } = (await house.broker.bind('i', 'b', { parameters: { key_space: 'shared' } })).body
      .credentials;
    await house.root.kv.deleteRange({
      key: Buffer.from(`${key_prefix}${Buffer.from(String(key), 'base64')}`),
    });
    assert.ok((await waiting).key);
    await drained;
    await house.startPortal();
  });

  it('over TLS the client’s choice of protocol counts, or else its first bytes', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-portal-'));
    const { caCertificate, file } = await openCertificates(folder, [
      { name: 'server', subject: 'CN=portal', use: 'server', hosts: ['127.0.0.1'] },
    ]);
    const pem = await readFile(file('server'), 'utf8');
    await house.stopPortal();
    await house.startPortal({ certificate: fixedCertificate({ cert: pem, key: pem }) });
    const url = `https://127.0.0.1:${house.running.port}/health`;
    const ca = path.join(folder, 'portal-ca.pem');
    await writeFile(ca, caCertificate);
    const version = '%{http_version} %{http_code}';
    try {
      for (const [choice, expected] of [
        [['--http1.1'], '1.1 200'],
        [['--http2'], '2 200'],
        [['--no-alpn'], '1.1 200'],
        [['--no-alpn', '--tls-max', '1.2'], '1.1 200'],
      ] as const) {
        const got = await curl(...choice, '--cacert', ca, '-o', '/dev/null', '-w', version, url);
        assert.equal(got, expected, choice.join(' '));
      }
      await assert.rejects(curl('--tls-max', '1.1', '--cacert', ca, url));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
