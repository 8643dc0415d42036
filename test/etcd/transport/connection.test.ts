import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { Connection } from '../../../src/etcd/transport/connection.js';
import { TransportError } from '../../../src/etcd/transport/errors.js';
import {
  dataFrame,
  goawayFrame,
  headersFrames,
  pingFrame,
  settingsAckFrame,
  settingsFrame,
  windowUpdateFrame,
} from '../../../src/http2/frame-writers.js';
import { failureOf, later, start } from './support/calls.js';
import { blockOf, framed, headOf, resetOf, ScriptedServer, trailersOf } from './support/scripted-server.js';

describe('a connection', () => {
  let server: ScriptedServer;

  beforeEach(async () => {
    server = new ScriptedServer();
    await server.listen();
  });

  afterEach(() => server.stop());

  it('announces what it can do, and sends a request as gRPC wants it', async () => {
    const { connection, peer } = await server.connect();
    const { settings } = await peer.next('settings');
    assert.deepEqual(settings, [
      [1, 0],
      [2, 0],
      [4, 256 * 1024],
      [6, 65_536],
    ]);
    await peer.next('settings ack');
    const answer = connection.unary('/some.Service/Method', Buffer.from('hi'), {
      ...later(),
      token: 'secret.1',
    });
    const { fields, streamId } = await peer.next('headers');
    assert.deepEqual(fields, [
      [':method', 'POST'],
      [':scheme', 'http'],
      [':path', '/some.Service/Method'],
      [':authority', `127.0.0.1:${server.port}`],
      ['te', 'trailers'],
      ['content-type', 'application/grpc'],
      ['user-agent', 'grpc-node-compose-etcd-broker'],
      ['token', 'secret.1'],
    ]);
    const sent = await peer.next('data');
    assert.deepEqual([sent.data, sent.endStream], [framed(Buffer.from('hi')), true]);
    peer.answer(streamId, Buffer.from('there'));
    assert.equal((await answer).toString(), 'there');
  });

  describe('is not opened', () => {
    const refused = async (pattern: RegExp, options = {}) => {
      await assert.rejects(Connection.open({ host: '127.0.0.1', port: server.port }, options), (error) => {
        assert.ok(error instanceof TransportError);
        assert.match(error.message, pattern);
        assert.deepEqual([error.code, error.delivery], [14, 'not sent']);
        return true;
      });
    };

    it('where nobody listens', async () => {
      const error = await Connection.open({ host: 'localhost', port: 1 }).catch((caught) => caught);
      assert.match(error.message, /ECONNREFUSED/);
    });

    it('to a server that says nothing', () => refused(/no settings in time/, { connectTimeoutMs: 100 }));

    it('over TLS that never answers', async () => {
      const target = { host: '127.0.0.1', port: server.port, tls: {} };
      const error = await Connection.open(target, { connectTimeoutMs: 100 }).catch((caught) => caught);
      assert.match(error.message, /no connection within 100 ms/);
    });

    it('to a server that speaks something else', async () => {
      const accepted = server.accept();
      const opening = refused(/FRAME_SIZE_ERROR/);
      (await accepted).send(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'));
      await opening;
    });

    it('to a server that closes', async () => {
      const accepted = server.accept();
      const opening = refused(/closed by the peer/);
      (await accepted).socket.end();
      await opening;
    });
  });

  describe('tells how a call ended:', () => {
    const cases: [
      what: string,
      frames: (id: number) => Buffer[],
      code: number,
      delivery: string,
      message: RegExp,
    ][] = [
      [
        'a trailers-only answer',
        (id) => [
          headersFrames(
            id,
            blockOf({
              ':status': '200',
              'content-type': 'application/grpc',
              'grpc-status': '16',
              'grpc-message': 'who%3F',
            }),
            true,
          ),
        ],
        16,
        'answered',
        /^who\?$/,
      ],
      [
        'a status after the head',
        (id) => [headOf(id), trailersOf(id, 9, 'not now')],
        9,
        'answered',
        /^not now$/,
      ],
      [
        'HTTP 503',
        (id) => [
          headersFrames(id, blockOf({ ':status': '503', 'content-type': 'text/html' }), false),
          dataFrame(id, Buffer.from('<html>'), true),
        ],
        14,
        'unknown',
        /503/,
      ],
      [
        'no grpc-status',
        (id) => [headOf(id), headersFrames(id, blockOf({ 'x-other': '1' }), true)],
        2,
        'unknown',
        /without grpc-status/,
      ],
      ['no message', (id) => [headOf(id), trailersOf(id)], 13, 'unknown', /0 messages/],
      [
        'two messages',
        (id) => [headOf(id), dataFrame(id, Buffer.alloc(10), false), trailersOf(id)],
        13,
        'unknown',
        /2 messages/,
      ],
      [
        'a message that is cut off',
        (id) => [headOf(id), dataFrame(id, Buffer.from([0, 0, 0, 0, 9, 1]), false), trailersOf(id)],
        13,
        'unknown',
        /within a message/,
      ],
      [
        'a compressed message',
        (id) => [headOf(id), dataFrame(id, Buffer.from([1, 0, 0, 0, 0]), false)],
        13,
        'unknown',
        /compressed/,
      ],
      ['REFUSED_STREAM', (id) => [resetOf(id, 7)], 14, 'not sent', /REFUSED_STREAM/],
      ['a reset with CANCEL', (id) => [resetOf(id, 8)], 1, 'unknown', /CANCEL/],
      ['a reset with ENHANCE_YOUR_CALM', (id) => [headOf(id), resetOf(id, 11)], 8, 'unknown', /CALM/],
      [
        'data before the head',
        (id) => [dataFrame(id, framed(Buffer.from('x')), false)],
        13,
        'unknown',
        /outside/,
      ],
      [
        'a head without :status',
        (id) => [headersFrames(id, blockOf({ 'grpc-status': '0' }), false)],
        13,
        'unknown',
        /:status/,
      ],
      ['WINDOW_UPDATE by 0 on it', (id) => [windowUpdateFrame(id, 0)], 13, 'unknown', /WINDOW_UPDATE/],
      ['a window that overflows', (id) => [windowUpdateFrame(id, 0x7fff_ffff)], 13, 'unknown', /overflows/],
    ];
    for (const [what, frames, code, delivery, message] of cases) {
      it(what, async () => {
        const { connection, peer } = await server.connect();
        const call = connection.unary('/a/B', Buffer.from('x'), later());
        const { streamId } = await peer.next('headers');
        peer.send(...frames(streamId));
        const error = await call.catch((caught) => caught);
        assert.ok(error instanceof TransportError);
        assert.equal(`${error.code} ${error.delivery}`, `${code} ${delivery}`);
        assert.match(error.message, message);
        // The others go on.
        const next = connection.unary('/a/B', Buffer.from('x'), later());
        peer.answer((await peer.next('headers')).streamId, Buffer.from('fine'));
        assert.equal((await next).toString(), 'fine');
        assert.equal(connection.calls, 0);
      });
    }
  });

  it('skips informational heads, and takes a message from many frames', async () => {
    const { connection, peer } = await server.connect();
    const call = connection.unary('/a/B', Buffer.from('x'), later());
    const { streamId } = await peer.next('headers');
    const bytes = framed(Buffer.from('abcdefghijkl'));
    peer.send(
      headersFrames(streamId, blockOf({ ':status': '103' }), false),
      headOf(streamId),
      ...Array.from(bytes, (byte) => dataFrame(streamId, Buffer.from([byte]), false)),
      dataFrame(streamId, Buffer.alloc(0), false),
      trailersOf(streamId),
    );
    assert.equal((await call).toString(), 'abcdefghijkl');
  });

  it('resets at the deadline, on a signal and on cancel', async () => {
    const { connection, peer } = await server.connect();
    const startedAt = performance.now();
    const late = connection.unary('/a/B', Buffer.from('x'), { deadline: startedAt + 60 });
    assert.equal(await failureOf(late), '4 unknown');
    assert.ok(performance.now() - startedAt >= 60);
    assert.equal((await peer.next('reset')).code, 8);

    const controller = new AbortController();
    const signalled = connection.unary('/a/B', Buffer.from('x'), { ...later(), signal: controller.signal });
    await peer.next('data', ({ streamId }) => streamId === 3);
    controller.abort();
    assert.equal(await failureOf(signalled), '1 unknown');
    assert.equal((await peer.next('reset')).streamId, 3);
    const aborted = connection.unary('/a/B', Buffer.from('x'), { ...later(), signal: controller.signal });
    assert.equal(await failureOf(aborted), '1 not sent');

    const { call, ends } = start(connection);
    await peer.next('headers', ({ streamId }) => streamId === 5);
    call.cancel();
    call.cancel();
    assert.deepEqual(
      ends.map(({ code }) => code),
      [1],
    );
    assert.equal((await peer.next('reset')).streamId, 5);
    peer.send(headOf(5), dataFrame(5, Buffer.alloc(20), false), resetOf(5, 8)); // on their way already: ignored
    const next = connection.unary('/a/B', Buffer.from('x'), later());
    peer.answer((await peer.next('headers', ({ streamId }) => streamId === 7)).streamId, Buffer.from('fine'));
    await next;
  });

  it('resets what the peer has answered before we ended', async () => {
    const { connection, peer } = await server.connect();
    const { ended } = start(connection);
    const { streamId } = await peer.next('headers');
    peer.send(headOf(streamId), trailersOf(streamId, 5, 'gone'));
    assert.deepEqual(await ended, { code: 5, message: 'gone', delivery: 'answered' });
    assert.deepEqual(await peer.next('reset'), { type: 'reset', streamId, code: 0 });
  });

  it('after GOAWAY finishes what the peer took, and fails the rest as not sent', async () => {
    const reasons: (Error | undefined)[] = [];
    const { connection, peer } = await server.connect({ onClose: (reason) => reasons.push(reason) });
    const taken = connection.unary('/a/B', Buffer.from('1'), later());
    const refused = connection.unary('/a/B', Buffer.from('2'), later());
    await peer.next('data', ({ streamId }) => streamId === 3);
    peer.send(goawayFrame(0x7fff_ffff, 0), goawayFrame(1, 0, 'bye'));
    assert.equal(await failureOf(refused), '14 not sent');
    assert.equal(connection.state, 'draining');
    assert.throws(() => start(connection), { code: 14, delivery: 'not sent' });
    assert.equal(await failureOf(connection.unary('/a/B', Buffer.from('3'), later())), '14 not sent');
    peer.answer(1, Buffer.from('fine'));
    assert.equal((await taken).toString(), 'fine');
    await peer.closed;
    assert.equal(connection.state, 'closed');
    assert.equal(reasons.length, 1);
    assert.match(`${reasons[0]}`, /GOAWAY: NO_ERROR bye/);
  });

  it('after GOAWAY opens no stream for calls that wait for one', async () => {
    const { connection, peer } = await server.connect({}, [[3, 2]]);
    const calls = ['1', '2', '3', '4'].map((text) => connection.unary('/a/B', Buffer.from(text), later()));
    await peer.next('headers', ({ streamId }) => streamId === 1);
    await peer.next('headers', ({ streamId }) => streamId === 3);
    const failures = Promise.all(calls.slice(1).map(failureOf));
    peer.send(goawayFrame(1, 0));
    assert.deepEqual(await failures, ['14 not sent', '14 not sent', '14 not sent']);
    peer.answer(1, Buffer.from('fine'));
    assert.equal(`${await calls[0]}`, 'fine');
    await peer.closed;
    assert.equal(
      peer.seen.some(({ type }) => type === 'headers'),
      false,
    );
  });

  it('fails its calls when the peer closes in the middle of a frame', async () => {
    const closed = new Promise<Error | undefined>((resolve) => {
      void server.connect({ onClose: resolve }).then(async ({ connection, peer }) => {
        const call = connection.unary('/a/B', Buffer.from('x'), later());
        const { streamId } = await peer.next('headers');
        peer.socket.end(headOf(streamId).subarray(0, 12));
        assert.equal(await failureOf(call), '14 unknown');
      });
    });
    assert.match(`${await closed}`, /in the middle of a frame/);
  });

  it('says of calls that were not written yet that they were not sent', async () => {
    const { connection, peer } = await server.connect();
    const written = connection.unary('/a/B', Buffer.from('x'), later());
    await peer.next('headers');
    const unwritten = connection.unary('/a/B', Buffer.from('x'), later());
    connection.close();
    assert.equal(await failureOf(written), '14 unknown');
    assert.equal(await failureOf(unwritten), '14 not sent');
    await peer.next('goaway');
    await peer.closed;
    assert.equal(
      peer.seen.some(({ type }) => type === 'headers'),
      false,
    );
  });

  const breaches: [what: string, code: number, frame: Buffer][] = [
    ['garbage', 6, Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a frame on an idle stream', 1, headOf(99)],
    ['a frame on a stream of the server', 1, headOf(2)],
    ['a header block that needs a dynamic table', 9, headersFrames(1, Buffer.from([0xbe]), false)],
    ['a window of the connection that overflows', 3, windowUpdateFrame(0, 0x7fff_ffff)],
    ['an initial window above 2^31 - 1', 3, settingsFrame([[4, 0x8000_0000]])],
    ['SETTINGS_ENABLE_PUSH', 1, settingsFrame([[2, 1]])],
    ['a maximum frame size below 16,384', 1, settingsFrame([[5, 100]])],
  ];
  for (const [what, code, frame] of breaches) {
    it(`is closed for ${what}`, async () => {
      const { connection, peer } = await server.connect();
      const { ended } = start(connection);
      await peer.next('headers');
      peer.send(frame);
      const end = await ended;
      assert.equal(`${end.code} ${end.delivery}`, '14 unknown');
      assert.equal((await peer.next('goaway')).code, code);
      await peer.closed;
    });
  }

  it('drains: takes no new calls, waits for those that are open', async () => {
    const { connection, peer } = await server.connect();
    const open = connection.unary('/a/B', Buffer.from('x'), later());
    const { streamId } = await peer.next('headers');
    const drained = connection.drain(10_000);
    assert.equal(await failureOf(connection.unary('/a/B', Buffer.from('x'), later())), '14 not sent');
    peer.answer(streamId, Buffer.from('fine'));
    assert.equal((await open).toString(), 'fine');
    await drained;
    assert.equal(connection.state, 'closed');
  });

  it('drains no longer than it is told', async () => {
    const { connection, peer } = await server.connect();
    const open = connection.unary('/a/B', Buffer.from('x'), later());
    await peer.next('headers');
    await connection.drain(50);
    assert.equal(await failureOf(open), '14 unknown');
  });

  it('is given up when the peer goes silent', async () => {
    const reasons: (Error | undefined)[] = [];
    const { connection, peer } = await server.connect({
      pingIntervalMs: 100,
      pingTimeoutMs: 200,
      onClose: (reason) => reasons.push(reason),
    });
    peer.answersPings = false;
    const startedAt = performance.now();
    assert.equal(await failureOf(connection.unary('/a/B', Buffer.from('x'), later())), '14 unknown');
    assert.ok(performance.now() - startedAt >= 250);
    assert.match(`${reasons}`, /silent/);
    await peer.next('ping');
  });

  it('stays while the peer answers pings', async () => {
    const { connection, peer } = await server.connect({ pingIntervalMs: 50, pingTimeoutMs: 100 });
    const { call, ended } = start(connection);
    const { streamId } = await peer.next('headers');
    for (let round = 0; round < 3; round++) {
      await peer.next('ping');
      peer.send(headersFrames(streamId, blockOf({ ':status': '103' }), false)); // so that the next ping is free
    }
    assert.equal(connection.state, 'open');
    call.cancel();
    await ended;
  });

  it('answers pings and settings, and gives up on a peer that floods it and does not read', async () => {
    const closed = new Promise<Error | undefined>((resolve) => {
      void server.connect({ onClose: resolve }).then(async ({ peer }) => {
        peer.send(pingFrame(Buffer.from('12345678'), false), settingsFrame([]));
        assert.deepEqual((await peer.next('ping')).data.toString(), '12345678');
        peer.socket.pause();
        const flood = Buffer.concat(
          Array.from({ length: 4_000 }, (_, number) =>
            number % 2 ? pingFrame(Buffer.alloc(8), false) : settingsFrame([]),
          ),
        );
        const more = () => {
          if (!peer.socket.destroyed) {
            peer.socket.write(flood, more);
          }
        };
        more();
      });
    });
    assert.match(`${await closed}`, /ENHANCE_YOUR_CALM/);
  });

  it('acknowledges an acknowledgement with nothing', async () => {
    const { connection, peer } = await server.connect();
    await peer.next('settings ack');
    peer.send(settingsAckFrame(), pingFrame(Buffer.alloc(8), false));
    await peer.next('ping');
    assert.equal(connection.state, 'open');
    assert.equal(
      peer.seen.some(({ type }) => type === 'settings ack'),
      false,
    );
  });
});
