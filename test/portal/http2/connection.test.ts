import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ErrorCode } from '../../../src/http2/errors.js';
import {
  dataFrame,
  headersFrames,
  PREFACE,
  rstStreamFrame,
  settingsAckFrame,
  settingsFrame,
  windowUpdateFrame,
  writeFrameHeader,
} from '../../../src/http2/frame-writers.js';
import { framed } from '../../etcd/transport/support/scripted-server.js';
import { callBlock, EchoPortal, type EchoPortalOptions, later } from '../support/echo-portal.js';

const echo = callBlock('/test/Echo');

describe("The portal's HTTP/2 connection", () => {
  let portal: EchoPortal;
  const start = async (options: EchoPortalOptions = {}) => {
    portal = await new EchoPortal(options).listen();
    return portal;
  };
  afterEach(() => portal.stop());

  it('survives a client that cancels two thousand calls at once', async () => {
    await start();
    const peer = await portal.peer();
    const hold = callBlock('/test/Hold');
    for (let id = 1; id < 4_000; id += 2) {
      peer.send(headersFrames(id, hold, false), rstStreamFrame(id, ErrorCode.CANCEL));
    }
    peer.send(headersFrames(4_001, echo, false), dataFrame(4_001, framed(Buffer.from('x')), true));
    await peer.next('data');
    assert.equal(portal.cancelled.length, 2_000);
    assert.match(portal.cancelled[0] as string, /CANCEL/);
  });

  it('refuses streams beyond the limit and goes on', async () => {
    await start({ limits: { maxStreams: 2 } });
    const peer = await portal.peer();
    const hold = callBlock('/test/Hold');
    peer.send(headersFrames(1, hold, false), headersFrames(3, hold, false), headersFrames(5, hold, false));
    assert.deepEqual(await peer.next('reset'), {
      type: 'reset',
      streamId: 5,
      code: ErrorCode.REFUSED_STREAM,
    });
    peer.send(rstStreamFrame(1, ErrorCode.CANCEL));
    peer.send(headersFrames(7, echo, false), dataFrame(7, framed(Buffer.from('x')), true));
    assert.equal((await peer.next('data')).streamId, 7);
  });

  it('reads large requests in turn when they do not fit together', async () => {
    await start({ limits: { requestMemoryBytes: 300_000 } });
    const client = await portal.client();
    const sizes = Array.from({ length: 30 }, (_, index) => 20_000 + index * 5_000);
    const answers = await Promise.all(
      sizes.map((size) => client.unary('/test/Echo', Buffer.alloc(size, size), later())),
    );
    assert.deepEqual(
      answers.map(({ length }) => length),
      sizes,
    );
    assert.equal(portal.connections.budget.total, 0);
  });

  it('takes what a client sends before it has the settings', async () => {
    await start();
    const peer = await portal.socket();
    const message = Buffer.alloc(60_000, 1);
    const body = framed(message);
    peer.send(PREFACE, settingsFrame([]), headersFrames(1, echo, false));
    for (let at = 0; at < body.length; at += 16_384) {
      peer.send(dataFrame(1, body.subarray(at, at + 16_384), at + 16_384 >= body.length));
    }
    peer.send(settingsAckFrame());
    let received = 0;
    while (received < body.length) {
      const { data } = await peer.next('data');
      received += data.length;
      peer.send(windowUpdateFrame(0, data.length || 1), windowUpdateFrame(1, data.length || 1));
    }
    assert.equal(received, body.length);
  });

  it('reads a header block in pieces, with priority and padding', async () => {
    await start();
    const peer = await portal.peer();
    const piece = (type: number, flags: number, payload: Buffer) => {
      const bytes = Buffer.alloc(9 + payload.length);
      writeFrameHeader(bytes, 0, payload.length, type, flags, 1);
      payload.copy(bytes, 9);
      return bytes;
    };
    const padded = Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 7]), echo.subarray(0, 5), Buffer.alloc(2)]);
    peer.send(piece(1, 0x28, padded), piece(9, 0, echo.subarray(5, 20)), piece(9, 4, echo.subarray(20)));
    const data = framed(Buffer.from('hello'));
    peer.send(piece(0, 9, Buffer.concat([Buffer.from([3]), data, Buffer.alloc(3)])));
    assert.deepEqual((await peer.next('data')).data, data);
  });

  it('sends as far as the windows reach, and the trailers last', async () => {
    await start();
    const peer = await portal.peer([[4, 10]]);
    peer.send(headersFrames(1, echo, false), dataFrame(1, framed(Buffer.alloc(20)), true));
    assert.equal((await peer.next('data')).data.length, 10);
    peer.send(windowUpdateFrame(1, 5));
    assert.equal((await peer.next('data')).data.length, 5);
    peer.send(settingsFrame([[4, 30]]));
    const rest = await peer.next('data');
    assert.equal(rest.data.length, 10);
    assert.equal(rest.endStream, false);
    await peer.next('headers', ({ endStream }) => !endStream);
    const { fields } = await peer.next('headers', ({ endStream }) => endStream);
    assert.deepEqual(fields, [['grpc-status', '0']]);
    assert.equal(portal.connections.budget.total, 0);
  });

  it('holds new requests back while too much waits to be sent', async () => {
    await start({ limits: { queueHighWaterBytes: 1_000 } });
    const peer = await portal.peer([[4, 0]]);
    peer.send(headersFrames(1, echo, false), dataFrame(1, framed(Buffer.alloc(5_000)), true));
    await peer.next('headers');
    peer.send(headersFrames(3, echo, false), dataFrame(3, framed(Buffer.alloc(10)), true));
    peer.send(headersFrames(5, callBlock('/test/Hold'), true), rstStreamFrame(5, ErrorCode.CANCEL));
    peer.send(settingsFrame([]));
    await peer.next('settings ack');
    assert.equal(portal.calls.length, 1);
    peer.send(settingsFrame([[4, 65_535]]));
    await peer.next('data', ({ streamId, data }) => streamId === 3 && data.length === 15);
    assert.equal(portal.calls.length, 2, 'what was cancelled meanwhile is not begun');
  });

  it('ends the connection that holds most when the memory of all is used up', async () => {
    await start({ budgetBytes: 200_000 });
    const small = await portal.peer([[4, 0]]);
    small.send(headersFrames(1, echo, false), dataFrame(1, framed(Buffer.alloc(5_000)), true));
    await small.next('headers');
    const large = await portal.peer([[4, 0]]);
    large.send(
      headersFrames(1, callBlock('/test/Flood'), false),
      dataFrame(1, framed(Buffer.from('150000')), false),
    );
    await large.next('headers');
    const last = await portal.peer([[4, 0]]);
    last.send(
      headersFrames(1, callBlock('/test/Flood'), false),
      dataFrame(1, framed(Buffer.from('60000')), false),
    );
    await last.next('headers');
    assert.equal((await large.next('goaway')).code, ErrorCode.ENHANCE_YOUR_CALM);
    assert.equal(portal.connections.budget.total, 5_005 + 60_005);
    assert.equal(portal.connections.size, 2);
  });

  it('lets a client finish its request after the answer, then closes the stream', async () => {
    await start();
    const peer = await portal.peer();
    peer.send(headersFrames(1, callBlock('/test/Unknown'), false));
    await peer.next('headers', ({ endStream }) => endStream);
    peer.send(dataFrame(1, framed(Buffer.from('late')), true));
    peer.send(headersFrames(3, callBlock('/test/Unknown'), false));
    assert.deepEqual(await peer.next('reset'), { type: 'reset', streamId: 3, code: ErrorCode.NO_ERROR });
  });

  it('drains: GOAWAY, the open calls finish, then it closes', async () => {
    await start();
    const peer = await portal.peer();
    peer.send(headersFrames(1, callBlock('/test/Stream'), false));
    const drained = portal.connections.drain(5_000);
    assert.equal((await peer.next('goaway')).code, ErrorCode.NO_ERROR);
    peer.send(headersFrames(3, echo, false), dataFrame(3, framed(Buffer.from('on its way')), true));
    assert.equal((await peer.next('data')).streamId, 3);
    await peer.next('goaway');
    peer.send(dataFrame(1, framed(Buffer.from('last')), true));
    assert.equal((await peer.next('data')).streamId, 1);
    await peer.closed;
    await drained;
    assert.deepEqual(portal.ends, [undefined]);
  });

  it('a connection that comes while it drains is drained too', async () => {
    await start();
    const before = await portal.peer();
    before.send(headersFrames(1, callBlock('/test/Stream'), false));
    const drained = portal.connections.drain(30_000);
    await before.next('goaway');
    const late = await portal.peer();
    assert.equal((await late.next('goaway')).code, ErrorCode.NO_ERROR);
    before.send(dataFrame(1, framed(Buffer.from('last')), true));
    await Promise.all([before.closed, late.closed, drained]);
    assert.deepEqual(portal.ends, [undefined, undefined]);
  });

  it('aborts what is open at the deadline of a drain', async () => {
    await start();
    const peer = await portal.peer();
    peer.send(headersFrames(1, callBlock('/test/Hold'), false), headersFrames(3, echo, false));
    peer.send(dataFrame(3, framed(Buffer.from('x')), true));
    await peer.next('data');
    await portal.connections.drain(50);
    assert.equal(portal.cancelled.length, 1);
  });

  it('answers others, crashes never and holds little, whatever frames come', async () => {
    await start({ budgetBytes: 4_000_000 });
    const honest = await portal.client();
    const anyFrame = fc
      .record({
        type: fc.integer({ min: 0, max: 11 }),
        flags: fc.constantFrom(0, 1, 4, 5, 8, 0x20, 0x2d),
        streamId: fc.constantFrom(0, 1, 1, 3, 3, 5, 2, 7),
        payload: fc.oneof(
          fc.uint8Array({ maxLength: 40 }),
          fc.constantFrom(
            new Uint8Array(echo),
            new Uint8Array(framed(Buffer.from('hello'))),
            new Uint8Array(4),
          ),
        ),
      })
      .map(({ type, flags, streamId, payload }) => {
        const bytes = Buffer.alloc(9 + payload.length);
        writeFrameHeader(bytes, 0, payload.length, type, flags, streamId);
        bytes.set(payload, 9);
        return bytes;
      });
    await fc.assert(
      fc.asyncProperty(fc.array(anyFrame, { maxLength: 30 }), async (frames) => {
        const peer = await portal.socket();
        peer.send(PREFACE, settingsFrame([]), headersFrames(1, echo, false), ...frames);
        assert.equal((await honest.unary('/test/Echo', Buffer.from('x'), later())).toString(), 'x');
        assert.ok(portal.connections.budget.total < 1_000_000);
        peer.socket.destroy();
      }),
      { numRuns: 300 },
    );
    assert.deepEqual(portal.faults, []);
  });
});
