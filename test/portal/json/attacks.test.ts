import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { Http1Connections } from '../../../src/portal/http1/connections.js';
import type { Http1Limits } from '../../../src/portal/http1/limits.js';
import { MemoryBudget } from '../../../src/portal/http2/memory-budget.js';
import type { PlainExchange } from '../../../src/portal/json/plain-exchange.js';
import { PortalGauges } from '../../../src/portal/limits/gauges.js';
import { PortalHouse, until } from '../support/portal.js';
import { JsonClient, RawSocket } from './support.js';

const b64 = (text: string) => Buffer.from(text).toString('base64');
const MIB = 1024 * 1024;

describe('Attacks on HTTP/JSON through a portal', () => {
  let house: PortalHouse;
  let client: JsonClient;
  const gauges = new PortalGauges();

  before(async () => {
    house = await PortalHouse.start({}, { gauges });
    client = new JsonClient(house.url);
    await client.signIn(await house.bind('i', 'b'));
  });

  after(() => house?.stop());

  const head = (path: string, ...fields: string[]) =>
    [`POST ${path} HTTP/1.1`, 'host: x', `authorization: ${client.token}`, ...fields, '', ''].join('\r\n');
  const raw = async (text: string | Buffer) => {
    const socket = await RawSocket.open(house.running.port);
    socket.write(text);
    return socket;
  };

  it('a body that is too large is not read', async () => {
    const announced = await raw(head('/v3/kv/put', `content-length: ${100 * MIB}`));
    assert.match(await announced.closed(), /^HTTP\/1\.1 413 /);
    const expecting = await raw(head('/v3/kv/put', `content-length: ${100 * MIB}`, 'expect: 100-continue'));
    assert.match(await expecting.closed(), /^HTTP\/1\.1 413 /);
    const chunked = await raw(head('/v3/kv/put', 'transfer-encoding: chunked'));
    const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(MIB, 0x20), Buffer.from('\r\n')]);
    for (let sent = 0; sent < 100 && !chunked.isClosed; sent++) {
      chunked.write(chunk);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await chunked.closed();
    assert.ok(chunked.socket.bytesWritten < 100 * MIB || chunked.received.startsWith('HTTP/1.1 413 '));
    const stranger = await client.post('/v3/auth/authenticate', { name: 'n'.repeat(70_000), password: 'p' });
    assert.equal(stranger.status, 413);
  });

  it('JSON that is deep, odd or not JSON at all', async () => {
    const key = b64('k');
    const status = async (body: string) => (await client.post('/v3/kv/range', body)).status;
    assert.equal(await status('['.repeat(MIB)), 400);
    assert.equal(await status('{"a":'.repeat(100_000)), 400);
    assert.equal(await status(`{"x":${'['.repeat(400)}${']'.repeat(400)},"key":"${key}"}`), 200);
    assert.equal(await status(`{"__proto__":{"key":"${key}"},"constructor":{"prototype":{}}}`), 400);
    assert.equal(({} as { key?: unknown }).key, undefined);
    assert.equal(await status(`{"key":"","key":"${key}"}`), 200);
    assert.equal(await status(`{"key":"${key}","limit":1${'0'.repeat(MIB)}}`), 400);
    assert.equal(await status(`{"key":"${key}","limit":"1${'0'.repeat(MIB)}"}`), 400);
    assert.equal(await status(`{"key":"${key}","limit":1e400}`), 400);
    assert.equal(await status(`{"key":"${key}","toString":1,"hasOwnProperty":2}`), 200);
    assert.equal(await status('"unfinished'), 400);
    assert.equal(await status(`"${'\\'.repeat(99_999)}`), 400);
    assert.equal(await status('\ufeff{}'), 400);
    const latin = await raw(`${head('/v3/kv/range', 'content-length: 13')}{"key":"`);
    latin.write(Buffer.from([0xff, 0xfe, 0xff, 0x22, 0x7d]));
    assert.match(await latin.until('}'), /^HTTP\/1\.1 400 .*UTF-8/s);
    latin.close();
    // Transactions within transactions: refused or answered, but neither a crash nor a hang.
    const nested = (depth: number) =>
      `${'{"success":[{"request_txn":'.repeat(depth)}{}${'}]}'.repeat(depth)}`;
    assert.equal((await client.post('/v3/kv/txn', nested(2))).status, 200);
    assert.equal((await client.post('/v3/kv/txn', nested(5_000))).status, 400);
    assert.ok((await client.post('/v3/kv/txn', nested(120))).status <= 400);
    const many = '{"ID":1}'.repeat(20_000);
    assert.equal((await client.post('/v3/lease/keepalive', many)).status, 400);
    assert.equal(gauges.counts.streams, 0);
  });

  it('requests are never read in two ways', async () => {
    const body = '{"key":"aw=="}';
    for (const [text, expected] of [
      [head('/v3/kv/range', 'content-length: 3', 'transfer-encoding: chunked'), 400],
      [head('/v3/kv/range', 'content-length: 3', 'content-length: 4'), 400],
      [head('/v3/kv/range', 'transfer-encoding: chunked, identity'), 400],
      [head('/v3/kv/range', 'transfer-encoding : chunked'), 400],
      [head('/v3/kv/range', 'content-length: +3'), 400],
      [head('/v3/kv/range', ' folded: x'), 400],
      [head('/v3/kv/range', 'x: a\0b'), 400],
      [`${head('/v3/kv/range', 'transfer-encoding: chunked')}e;\n${body}\r\n0\r\n\r\n`, 400],
      [`${head('/v3/kv/range', 'transfer-encoding: chunked')}zz\r\n`, 400],
      ['POST /v3/kv/range HTTP/1.1\r\n\r\n', 400],
      ['POST /v3/kv/range HTTP/9.9\r\nhost: x\r\n\r\n', 400],
      [head('/v3/kv/range', `x: ${'y'.repeat(20_000)}`), 431],
      ['\x16\x03\x01\x00\x00 garbage\r\n\r\n', 400],
    ] as const) {
      const socket = await raw(text);
      assert.match(await socket.closed(), new RegExp(`^HTTP/1.1 ${expected} `), JSON.stringify(text));
    }
  });

  it('pipelined requests are answered in order, and too many end the connection', async () => {
    const request = (key: string) => {
      const body = JSON.stringify({ key: b64(key), value: b64(key) });
      return `${head('/v3/kv/put', `content-length: ${body.length}`)}${body}`;
    };
    const few = await raw(Array.from({ length: 20 }, (_, at) => request(`p${at}`)).join(''));
    await until(() => few.received.split('HTTP/1.1 200').length === 21);
    const revisions = [...few.received.matchAll(/"revision":"(\d+)"/g)].map(([, revision]) =>
      Number(revision),
    );
    assert.equal(revisions.length, 20);
    few.close();
    const many = await raw(request('p').repeat(2_000));
    await many.closed();
    await until(() => gauges.counts.requests === 0 && gauges.counts.connections === 0);
  });

  it('a watch whose reader stops for a while loses nothing', async () => {
    const lines = await client.stream('/v3/watch', { create_request: { key: b64('slow') } });
    await lines.next();
    lines.incoming.pause();
    const value = Buffer.alloc(MIB, 65).toString('base64');
    for (let at = 0; at < 20; at++) {
      await client.call('/v3/kv/put', { key: b64('slow'), value });
    }
    lines.incoming.resume();
    let versions = 0;
    while (versions < 20) {
      const { result } = JSON.parse(await lines.next()) as {
        result: { events: { kv: { version: string } }[] };
      };
      for (const { kv } of result.events) {
        versions += 1;
        assert.equal(kv.version, String(versions));
      }
    }
    lines.close();
    await until(() => gauges.counts.streams === 0);
  });

  it('the first word is waited for, and decides', async () => {
    const byByte = await raw('');
    for (const byte of 'GET /health HTTP/1.1\r\nhost: x\r\n\r\n') {
      byByte.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.match(await byByte.until('"true"'), /^HTTP\/1\.1 200 /);
    byByte.close();
    const almost = await raw('PR');
    almost.write('OPFIND / HTTP/1.1\r\nhost: x\r\n\r\n');
    assert.match(await almost.until('404'), /^HTTP\/1\.1 404 /);
    almost.close();
    assert.ok(
      house.logged.every((line) => !line.includes('fault of the portal')),
      house.logged.join(''),
    );
  });
});

describe('Limits of HTTP/1.1', () => {
  let server: Server;
  let connections: Http1Connections;
  const exchanges: PlainExchange[] = [];
  const budget = new MemoryBudget(8 * MIB);

  const start = async (limits: Partial<Http1Limits>) => {
    connections = new Http1Connections(budget, limits);
    server = createServer((socket) => {
      connections.serve(socket, {
        onRequest: (exchange) => exchanges.push(exchange),
        onClose: () => undefined,
        onFault: (error) => {
          throw error;
        },
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  };

  afterEach(async () => {
    exchanges.length = 0;
    connections.close();
    await new Promise((resolve) => server.close(resolve));
    assert.deepEqual([connections.size, budget.total], [0, 0]);
  });

  it('connections that do nothing, or send half a head or half a body, end in their time', async () => {
    const port = await start({ idleTimeoutMs: 3_000, headTimeoutMs: 1_000, requestTimeoutMs: 1_000 });
    const [idle, half, body] = [
      await RawSocket.open(port),
      await RawSocket.open(port),
      await RawSocket.open(port),
    ];
    half.write('POST / HTTP/1.1\r\nhost');
    body.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1');
    await half.closed(3_500);
    await body.closed(3_500);
    assert.equal(idle.isClosed, false);
    await idle.closed();
  });

  it('a client that does not read its answer is cut off, and one that reads slowly is not', async () => {
    const port = await start({ stallTimeoutMs: 1_500 });
    const request = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n';
    const [deaf, slow] = [await RawSocket.open(port), await RawSocket.open(port)];
    deaf.socket.pause();
    slow.socket.on('data', () => slow.socket.pause());
    const reading = setInterval(() => slow.socket.resume(), 10);
    deaf.write(request);
    slow.write(request);
    await until(() => exchanges.length === 2);
    let cancelled = '';
    for (const exchange of exchanges) {
      exchange.onCancel = (reason) => {
        cancelled = reason;
      };
      exchange.respondStream(200, {});
      while (exchange.write(Buffer.alloc(64 * 1024))) {}
      exchange.onWritable = () => exchange.write(Buffer.alloc(64 * 1024));
    }
    await until(() => cancelled !== '').finally(() => clearInterval(reading));
    assert.equal(cancelled, 'the client does not read');
    assert.equal(slow.isClosed, false);
    slow.close();
    deaf.close();
  });

  it('bodies in pieces of one byte cost what they hold, and the budget ends who holds most', async () => {
    const port = await start({});
    const tiny = await RawSocket.open(port);
    tiny.write('POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n');
    tiny.write('1\r\nx\r\n'.repeat(500_000));
    await until(() => budget.total >= 500_000);
    assert.ok(budget.total <= MIB);
    const large = await Promise.all([0, 1, 2].map(() => RawSocket.open(port)));
    for (const socket of large) {
      socket.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-length: ${3 * MIB}\r\n\r\n`);
      socket.write(Buffer.alloc(3 * MIB - 1));
    }
    await until(() => large.some(({ isClosed }) => isClosed));
    assert.ok(budget.total <= budget.limit);
    assert.equal(tiny.isClosed, false);
    tiny.close();
    for (const socket of large) {
      socket.close();
    }
    await until(() => connections.size === 0);
  });
});
