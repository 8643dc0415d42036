import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { connect, type Socket } from 'node:net';
import { markSignedIn } from '../../src/osb/http/connections.js';
import { HttpServer } from '../../src/osb/http/server.js';
import { eventually } from '../support/time.js';

describe('The HTTP server', () => {
  const sockets: Socket[] = [];
  let server: HttpServer | undefined;
  let unanswered = 0;

  afterEach(async () => {
    for (const socket of sockets.splice(0)) {
      socket.destroy();
    }
    await server?.close(1_000);
  });

  /** Signs in whoever sends an Authorization header; `/slow` is never answered. */
  const handle: RequestListener = (request, response) => {
    if (request.headers.authorization !== undefined) {
      markSignedIn(request.socket);
    }
    if (request.url === '/slow') {
      unanswered += 1;
    } else {
      response.end('answered');
    }
  };
  async function listen(limits: ConstructorParameters<typeof HttpServer>[2]): Promise<number> {
    server = new HttpServer(handle, assert.fail, limits);
    return Number(new URL(await server.listen(0)).port);
  }
  async function open(port: number): Promise<Socket> {
    const socket = connect(port, 'localhost');
    socket.on('error', () => undefined); // a reset is one way to be closed
    sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  }
  /** Sends a request and waits for the first bytes of its answer. */
  async function ask(socket: Socket, headers = ''): Promise<string> {
    socket.write(`GET / HTTP/1.1\r\nHost: x\r\n${headers}\r\n`);
    return String((await once(socket, 'data', { signal: AbortSignal.timeout(3_000) }))[0]);
  }
  const SIGN_IN = 'Authorization: x\r\n';

  it('idle connections of strangers do not keep a platform out, nor end its own', async () => {
    const port = await listen({ mostConnections: 50 });
    const platform = await open(port);
    assert.match(await ask(platform, SIGN_IN), /answered/);
    const strangers = await Promise.all(Array.from({ length: 120 }, () => open(port)));
    // New ones are taken at once, and the platform's idle one still lives.
    assert.match(await ask(await open(port), SIGN_IN), /answered/);
    assert.match(await ask(platform), /answered/);
    await eventually(async () => {
      assert.equal(strangers.filter((socket) => !socket.destroyed).length, 48);
    }, 3_000);
    assert.deepEqual(
      strangers.slice(-10).map((socket) => socket.destroyed),
      Array(10).fill(false),
      'the oldest went first',
    );
  });

  it('a stranger who waits for an answer is not closed; when all wait, the newest is', async () => {
    const port = await listen({ mostConnections: 5 });
    const waiting = await Promise.all(Array.from({ length: 5 }, () => open(port)));
    for (const socket of waiting) {
      socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n');
    }
    await eventually(async () => assert.equal(unanswered, 5), 3_000);
    const newest = await open(port);
    await once(newest, 'close', { signal: AbortSignal.timeout(3_000) });
    assert.deepEqual(
      waiting.map((socket) => socket.destroyed),
      Array(5).fill(false),
    );
  });

  it('what is sent too slowly is refused about when its time is up', async () => {
    const port = await listen({ headersTimeout: 300, requestTimeout: 300 });
    const socket = await open(port);
    socket.write('GET / HTTP/1.1\r\n');
    const [answer] = await once(socket, 'data', { signal: AbortSignal.timeout(3_000) });
    assert.match(String(answer), /^HTTP\/1\.1 408 /);
  });
});
