import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import {
  Client,
  credentials,
  type Metadata,
  Metadata as NewMetadata,
  type ServiceError,
} from '@grpc/grpc-js';
import type { HttpExchange } from '../../../src/portal/grpc/http-exchange.js';
import { framed } from '../../etcd/transport/support/scripted-server.js';
import { EchoPortal } from '../support/echo-portal.js';

const same = (bytes: Buffer) => bytes;

function unary(client: Client, path: string, message: Buffer, metadata: Metadata = new NewMetadata()) {
  const deadline = Date.now() + 20_000;
  return new Promise<Buffer | undefined>((resolve, reject) => {
    client.makeUnaryRequest(path, same, same, message, metadata, { deadline }, (error, value) =>
      error ? reject(error) : resolve(value),
    );
  });
}

function serveHttp(exchange: HttpExchange): void {
  if (exchange.request.path === '/stream') {
    exchange.respondStream(200, { 'content-type': 'application/json' });
    exchange.write('{"a":1}\n');
    exchange.write('{"a":2}\n');
    exchange.end();
  } else {
    exchange.respond(200, { 'content-type': 'application/json' }, exchange.body);
  }
}

describe('gRPC of the portal, with grpc-js', () => {
  let portal: EchoPortal;
  let client: Client;
  before(async () => {
    portal = await new EchoPortal().listen();
    client = new Client(`127.0.0.1:${portal.port}`, credentials.createInsecure());
  });
  after(async () => {
    client.close();
    await portal.stop();
  });

  it('answers unary calls of every size', async () => {
    for (const size of [0, 1, 100, 3_000, 16_379, 16_380, 70_000, 1_572_864]) {
      assert.equal((await unary(client, '/test/Echo', Buffer.alloc(size, 3)))?.length, size);
    }
  });

  it('answers many large calls at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, index) => unary(client, '/test/Echo', Buffer.alloc(100_000 + index))),
    );
    assert.deepEqual(
      answers.map((answer) => answer?.length),
      answers.map((_, index) => 100_000 + index),
    );
  });

  it('sees token, path and deadline', async () => {
    const metadata = new NewMetadata();
    metadata.set('token', 'secret');
    await unary(client, '/test/Echo', Buffer.alloc(1), metadata);
    const call = portal.calls.at(-1);
    assert.equal(call?.token, 'secret');
    assert.equal(call?.path, '/test/Echo');
    assert.ok(call?.timeoutMs !== undefined && call.timeoutMs > 15_000 && call.timeoutMs <= 20_000);
    assert.match(call?.peer.address ?? '', /127\.0\.0\.1/);
  });

  it('refuses with a status and a message of any characters', async () => {
    await assert.rejects(unary(client, '/test/ä 100%', Buffer.alloc(1)), (error: ServiceError) => {
      assert.equal(error.code, 12);
      assert.equal(error.details, `unknown method ${portal.calls.at(-1)?.path}`);
      return true;
    });
  });

  it('refuses a message that is too large', async () => {
    await assert.rejects(unary(client, '/test/Echo', Buffer.alloc(2_097_153)), {
      code: 8,
      details: 'grpc: received message larger than max (2097153 vs. 2097152)',
    });
  });

  it('carries a stream of messages both ways, and its end', async () => {
    const stream = client.makeBidiStreamRequest('/test/Stream', same, same);
    let received = 0;
    stream.on('data', (message: Buffer) => {
      received += message.length;
    });
    const ended = once(stream, 'status');
    for (let index = 0; index < 300; index++) {
      stream.write(Buffer.alloc(10_000));
    }
    stream.end();
    assert.equal((await ended)[0].code, 0);
    assert.equal(received, 3_000_000);
  });

  it('tells the call that the client has cancelled', async () => {
    const stream = client.makeBidiStreamRequest('/test/Hold', same, same);
    stream.on('error', () => undefined);
    stream.write(Buffer.alloc(1));
    await unary(client, '/test/Echo', Buffer.alloc(1)); // it has been opened by then
    const cancelled = once(portal.events, 'cancelled');
    stream.cancel();
    assert.match((await cancelled)[0], /CANCEL/);
  });
});

describe('HTTP/2 of the portal, with node:http2 and curl', () => {
  let portal: EchoPortal;
  let session: ClientHttp2Session;
  before(async () => {
    portal = await new EchoPortal({ onHttp: serveHttp }).listen();
    session = connectHttp2(`http://127.0.0.1:${portal.port}`, { paddingStrategy: 1 });
  });
  after(async () => {
    session.close();
    await portal.stop();
  });

  async function request(headers: Record<string, string>, body: Buffer[], endStream = false) {
    const stream = session.request({ ':method': 'POST', ...headers }, { endStream });
    const trailers = new Promise<Record<string, unknown>>((resolve) => stream.once('trailers', resolve));
    const response = once(stream, 'response');
    for (const part of body) {
      stream.write(part);
    }
    if (!endStream) {
      stream.end();
    }
    const chunks: Buffer[] = [];
    for await (const chunk of stream) {
      chunks.push(chunk as Buffer);
    }
    return { head: (await response)[0], body: Buffer.concat(chunks), trailers };
  }

  const grpc = (more: Record<string, string> = {}) => ({
    ':path': '/test/Echo',
    'content-type': 'application/grpc+proto',
    te: 'trailers',
    ...more,
  });

  it('serves a call that is padded, cut in pieces and without te', async () => {
    const message = framed(Buffer.from('some message'));
    const parts = [message.subarray(0, 2), message.subarray(2, 9), message.subarray(9)];
    const { ':path': path } = grpc();
    const answer = await request({ ':path': path as string, 'content-type': 'application/grpc' }, parts);
    assert.equal(answer.body.toString('latin1'), message.toString('latin1'));
    assert.equal((await answer.trailers)['grpc-status'], '0');
  });

  it('keeps a dynamic table: heads that repeat and change', async () => {
    for (let index = 0; index < 60; index++) {
      const more = {
        token: `t${index % 7}`,
        [`x-${index % 5}`]: 'y'.repeat(index * 10),
        'grpc-timeout': `${index}S`,
      };
      await request(grpc(more), [framed(Buffer.from('x'))]);
      assert.equal(portal.calls.at(-1)?.token, `t${index % 7}`);
      assert.equal(portal.calls.at(-1)?.timeoutMs, index * 1_000);
    }
  });

  it('reads large header fields', async () => {
    const more = Object.fromEntries(
      Array.from({ length: 5 }, (_, index) => [`x-large-${index}`, '\u00e9'.repeat(1_500)]),
    );
    await request(grpc({ ...more, authorization: 'a token' }), [framed(Buffer.from('x'))]);
    assert.equal(portal.calls.at(-1)?.token, 'a token');
  });

  const refused: [
    what: string,
    headers: Record<string, string>,
    body: Buffer,
    status: string,
    message: RegExp,
  ][] = [
    ['a compressed message', grpc(), Buffer.from([1, 0, 0, 0, 1, 0]), '12', /compressed/],
    ['an encoding', grpc({ 'grpc-encoding': 'gzip' }), framed(Buffer.from('x')), '12', /gzip/],
    ['a message of 4 GB', grpc(), Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), '8', /larger%20than|larger than/],
    ['half a message', grpc(), Buffer.from([0, 0, 0, 0, 9, 1]), '13', /ends within/],
    ['a wrong grpc-timeout', grpc({ 'grpc-timeout': '5 s' }), framed(Buffer.from('x')), '13', /timeout/],
  ];
  for (const [what, headers, body, status, message] of refused) {
    it(`refuses ${what}`, async () => {
      const { head } = await request(headers, [body]);
      assert.equal(head[':status'], 200);
      assert.equal(head['grpc-status'], status);
      assert.match(String(head['grpc-message']), message);
    });
  }

  it('hands what is not gRPC over, whole', async () => {
    const body = Buffer.alloc(300_000, 97);
    const answer = await request({ ':path': '/v3/kv/put', 'content-type': 'application/json' }, [body]);
    assert.equal(answer.head[':status'], 200);
    assert.equal(answer.body.length, body.length);
    const none = await request({ ':path': '/v3/kv/put' }, [], true);
    assert.equal(none.body.length, 0);
    const stream = await request({ ':path': '/stream' }, [Buffer.from('{}')]);
    assert.equal(stream.body.toString(), '{"a":1}\n{"a":2}\n');
    const large = await request({ ':path': '/v3/kv/put' }, [Buffer.alloc(2_200_000)]);
    assert.equal(large.head[':status'], 413);
    assert.equal(portal.connections.budget.total, 0);
  });

  it('answers 415 where nobody serves plain HTTP, and 405 to a GET of gRPC', async () => {
    const bare = await new EchoPortal().listen();
    const other = connectHttp2(`http://127.0.0.1:${bare.port}`);
    try {
      for (const [headers, status] of [
        [{ ':path': '/version' }, 415],
        [{ ':path': '/test/Echo', ':method': 'GET', 'content-type': 'application/grpc' }, 405],
      ] as const) {
        const stream = other.request(headers);
        const [head] = await once(stream, 'response');
        stream.resume();
        assert.equal(head[':status'], status);
      }
    } finally {
      other.close();
      await bare.stop();
    }
  });

  it('serves curl', async function () {
    const url = `http://127.0.0.1:${portal.port}/v3/kv/range`;
    const args = ['-sS', '--max-time', '5', '--http2-prior-knowledge', '-d', '{"key":"YQ=="}', url];
    const output = await new Promise<string | undefined>((resolve, reject) => {
      execFile('curl', args, (error, stdout) => {
        if (error?.code === 'ENOENT') {
          resolve(undefined);
        } else if (error) {
          reject(error);
        } else {
          resolve(stdout);
        }
      });
    });
    if (output === undefined) {
      this.skip();
    }
    assert.equal(output, '{"key":"YQ=="}');
  });
});
