import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { dataFrame, pingFrame, settingsFrame, windowUpdateFrame } from '../../../src/http2/frame-writers.js';
import { failureOf, later, start } from './support/calls.js';
import { framed, headOf, type ScriptedPeer, ScriptedServer, trailersOf } from './support/scripted-server.js';

const WINDOW = 65_535;
const MIB = 1024 * 1024;
/** The client's receive window for each stream. */
const STREAM_WINDOW = 256 * 1024;

/** All that a client had sent when it answers a ping. */
async function settled(peer: ScriptedPeer): Promise<void> {
  peer.send(pingFrame(Buffer.alloc(8), false));
  await peer.next('ping', ({ ack }) => ack);
}

function framesOf(id: number, bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 16_384) {
    frames.push(dataFrame(id, bytes.subarray(at, at + 16_384), false));
  }
  return frames;
}

function bytesOn(peer: ScriptedPeer, id: number): number {
  let bytes = 0;
  for (const seen of peer.seen) {
    bytes += seen.type === 'data' && seen.streamId === id ? seen.data.length : 0;
  }
  return bytes;
}

describe('flow control', () => {
  let server: ScriptedServer;

  beforeEach(async () => {
    server = new ScriptedServer();
    await server.listen();
  });

  afterEach(() => server.stop());

  it('stops at the window of a stream and goes on when it is widened', async () => {
    const { connection, peer } = await server.connect({}, [[4, 1_000]]);
    const { call, drained } = start(connection);
    assert.equal(call.write(Buffer.alloc(200_000)), false);
    const drain = drained();
    await settled(peer);
    assert.equal(bytesOn(peer, 1), 1_000);
    peer.send(windowUpdateFrame(1, 500));
    await settled(peer);
    assert.equal(bytesOn(peer, 1), 1_500);
    // Below zero: 1,500 sent, the window is now 1,500 - 1,000 + 10 - 1,500.
    peer.send(settingsFrame([[4, 10]]), windowUpdateFrame(1, 900));
    await settled(peer);
    assert.equal(bytesOn(peer, 1), 1_500);
    peer.send(windowUpdateFrame(1, 100));
    await settled(peer);
    assert.equal(bytesOn(peer, 1), 1_510);
    peer.send(windowUpdateFrame(0, 10 * MIB), windowUpdateFrame(1, 10 * MIB));
    await drain;
    await settled(peer);
    assert.equal(bytesOn(peer, 1), 200_005);
  });

  it('stops at the window of the connection, whoever used it', async () => {
    const { connection, peer } = await server.connect({}, [[4, MIB]]);
    const one = start(connection);
    const two = start(connection);
    one.call.write(Buffer.alloc(100_000));
    two.call.write(Buffer.alloc(100_000));
    await settled(peer);
    assert.equal(bytesOn(peer, 1) + bytesOn(peer, 3), WINDOW);
    assert.ok(bytesOn(peer, 3) > 0 || bytesOn(peer, 1) === WINDOW);
    peer.send(windowUpdateFrame(0, 60_000));
    await settled(peer);
    assert.equal(bytesOn(peer, 1) + bytesOn(peer, 3), WINDOW + 60_000);
    assert.ok(bytesOn(peer, 3) >= 16_384); // in turn
    peer.send(windowUpdateFrame(0, MIB));
    one.call.end();
    two.call.end();
    await peer.next('data', ({ endStream, streamId }) => endStream && streamId === 1);
    await peer.next('data', ({ endStream, streamId }) => endStream && streamId === 3);
  });

  it('opens no more streams than the peer allows', async () => {
    const { connection, peer } = await server.connect({}, [[3, 1]]);
    const calls = Array.from({ length: 100 }, (_, number) =>
      connection.unary('/a/B', Buffer.from(`${number}`), later()),
    );
    for (let number = 0; number < 100; number++) {
      const { streamId, data } = await peer.next('data');
      await settled(peer);
      assert.equal(peer.seen.filter(({ type }) => type === 'data').length, 0);
      peer.answer(streamId, data.subarray(5));
      assert.equal((await calls[number])?.toString(), `${number}`);
    }
  });

  it('fails calls that wait for a stream as not sent: at the deadline, and without number', async () => {
    const { connection } = await server.connect({}, [[3, 0]]);
    const call = connection.unary('/a/B', Buffer.from('x'), { deadline: performance.now() + 20 });
    assert.equal(await failureOf(call), '4 not sent');
    const waiting = Array.from({ length: 10_000 }, () => start(connection));
    assert.throws(() => start(connection), { code: 8, delivery: 'not sent' });
    connection.close();
    const ends = await Promise.all(waiting.map(({ ended }) => ended));
    assert.ok(ends.every(({ code, delivery }) => code === 14 && delivery === 'not sent'));
  });

  it('takes and gives 20 MB in one message', async () => {
    const { connection, peer } = await server.connect({}, [[4, 4 * MIB]]);
    const message = Buffer.alloc(20_000_000);
    for (let at = 0; at < message.length; at += 997) {
      message[at] = at % 251;
    }
    peer.send(windowUpdateFrame(0, 4 * MIB));
    const call = connection.unary('/a/B', message, later());
    const parts: Buffer[] = [];
    let uncredited = 0;
    for (let last = false; !last; ) {
      const { data, endStream } = await peer.next('data');
      parts.push(data);
      last = endStream;
      uncredited += data.length;
      if (uncredited >= MIB) {
        peer.send(windowUpdateFrame(0, uncredited), windowUpdateFrame(1, uncredited));
        uncredited = 0;
      }
    }
    assert.ok(Buffer.concat(parts).equals(framed(message)));
    // The way back keeps to the client's windows.
    peer.send(headOf(1));
    const all = framed(message);
    let [streamWindow, connectionWindow] = [STREAM_WINDOW, WINDOW];
    for (let at = 0; at < all.length; ) {
      const length = Math.min(16_384, all.length - at, streamWindow, connectionWindow);
      if (length === 0) {
        const { streamId, increment } = await peer.next('window update');
        streamWindow += streamId === 1 ? increment : 0;
        connectionWindow += streamId === 0 ? increment : 0;
        continue;
      }
      peer.send(dataFrame(1, all.subarray(at, at + length), false));
      at += length;
      streamWindow -= length;
      connectionWindow -= length;
    }
    peer.send(trailersOf(1));
    assert.ok((await call).equals(message));
  });

  it('gives a paused stream no credit, and the others all they need', async () => {
    const { connection, peer } = await server.connect();
    await peer.next('window update', ({ streamId }) => streamId === 0);
    const slow = start(connection);
    const { streamId } = await peer.next('headers');
    peer.send(headOf(streamId), dataFrame(streamId, framed(Buffer.from('first')), false));
    await slow.received(1);
    slow.call.pause();
    const piece = framed(Buffer.alloc(16_379));
    const pieces = STREAM_WINDOW / 16_384 - 1;
    for (let number = 0; number < pieces; number++) {
      peer.send(dataFrame(streamId, piece, false));
    }
    await settled(peer);
    assert.equal(slow.messages.length, 1);
    assert.equal(
      peer.seen.some(({ type }) => type === 'window update'),
      false,
    );
    const quick = connection.unary('/a/B', Buffer.from('x'), later());
    peer.answer((await peer.next('headers')).streamId, Buffer.from('fine'));
    assert.equal((await quick).toString(), 'fine');
    peer.send(trailersOf(streamId));
    await settled(peer);
    assert.equal(slow.ends.length, 0);
    slow.call.resume();
    assert.equal((await slow.ended).code, 0);
    assert.equal(slow.messages.length, 1 + pieces);
  });

  it('gives credit back when a paused stream is resumed', async () => {
    const { connection, peer } = await server.connect();
    const slow = start(connection);
    const { streamId } = await peer.next('headers');
    slow.call.pause();
    peer.send(headOf(streamId));
    for (let number = 0; number < STREAM_WINDOW / 16_384; number++) {
      peer.send(dataFrame(streamId, framed(Buffer.alloc(16_379)), false));
    }
    await settled(peer);
    slow.call.resume();
    const { increment } = await peer.next('window update', (seen) => seen.streamId === streamId);
    assert.ok(increment >= STREAM_WINDOW / 2);
  });

  it('pauses in the middle of a chunk', async () => {
    const { connection, peer } = await server.connect();
    const slow = start(connection);
    const { streamId } = await peer.next('headers');
    const messages = Buffer.concat(['a', 'b', 'c'].map((text) => framed(Buffer.from(text))));
    peer.send(headOf(streamId));
    slow.call.pause();
    peer.send(dataFrame(streamId, messages, false), trailersOf(streamId));
    await settled(peer);
    const push = slow.messages.push.bind(slow.messages);
    slow.messages.push = (message) => {
      slow.call.pause();
      return push(message);
    };
    for (const count of [1, 2, 3]) {
      assert.equal(slow.ends.length, 0);
      slow.call.resume();
      assert.equal(slow.messages.length, count);
    }
    slow.call.resume();
    assert.equal((await slow.ended).code, 0);
  });

  it('keeps the order when a handler pauses and resumes', async () => {
    const { connection, peer } = await server.connect();
    const slow = start(connection);
    const { streamId } = await peer.next('headers');
    slow.call.pause();
    const chunk = (...texts: string[]) =>
      dataFrame(streamId, Buffer.concat(texts.map((text) => framed(Buffer.from(text)))), false);
    peer.send(headOf(streamId), chunk('a', 'b'), chunk('c', 'd'), trailersOf(streamId));
    await settled(peer);
    const push = slow.messages.push.bind(slow.messages);
    slow.messages.push = (message) => {
      slow.call.pause();
      slow.call.resume();
      return push(message);
    };
    slow.call.resume();
    assert.equal(slow.messages.join(''), 'abcd');
    assert.equal((await slow.ended).code, 0);
  });

  it('asks before a large message is put together, and holds it at its window until then', async () => {
    const { connection, peer } = await server.connect();
    const asked: number[] = [];
    let hasRoom = false;
    const large = start(connection, (bytes) => {
      asked.push(bytes);
      return hasRoom;
    });
    await peer.next('headers');
    const all = framed(Buffer.alloc(MIB - 5, 7));
    peer.send(headOf(1), ...framesOf(1, all.subarray(0, STREAM_WINDOW)));
    await settled(peer);
    const isCredited = () => peer.seen.some((seen) => seen.type === 'window update' && seen.streamId === 1);
    assert.deepEqual([asked, isCredited()], [[MIB], false]);
    large.call.resume();
    await settled(peer);
    assert.deepEqual([asked, isCredited()], [[MIB, MIB], false]);
    hasRoom = true;
    large.call.resume();
    await peer.next('window update', ({ streamId }) => streamId === 1);
    peer.send(...framesOf(1, all.subarray(STREAM_WINDOW)), trailersOf(1));
    assert.equal((await large.ended).code, 0);
    assert.ok(large.messages[0]?.equals(all.subarray(5)));
    assert.equal(asked.length, 3);
  });

  it('asks again for the next large message, and never for a small one', async () => {
    const { connection, peer } = await server.connect();
    const asked: number[] = [];
    const call = start(connection, (bytes) => asked.push(bytes) > 0);
    await peer.next('headers');
    peer.send(headOf(1));
    for (const bytes of [STREAM_WINDOW - 5, STREAM_WINDOW - 4, 100_000, STREAM_WINDOW]) {
      peer.send(...framesOf(1, framed(Buffer.alloc(bytes))));
      await settled(peer);
    }
    await call.received(4);
    assert.deepEqual(asked, [STREAM_WINDOW + 1, STREAM_WINDOW + 5]);
  });

  it('finishes a large message that had begun when the reader pauses, so that it does not keep others out', async () => {
    const { connection, peer } = await server.connect();
    const all = framed(Buffer.alloc(STREAM_WINDOW + 100));
    const slow = start(connection, () => true);
    await peer.next('headers');
    peer.send(headOf(1), ...framesOf(1, all.subarray(0, STREAM_WINDOW)));
    await settled(peer);
    slow.call.pause();
    peer.send(...framesOf(1, all.subarray(STREAM_WINDOW)), ...framesOf(1, framed(Buffer.from('next'))));
    await settled(peer);
    assert.equal(slow.messages.length, 1);
    slow.call.resume();
    await slow.received(2);
  });

  it('resets a stream that ignores its window', async () => {
    const { connection, peer } = await server.connect();
    const slow = start(connection);
    const { streamId } = await peer.next('headers');
    slow.call.pause();
    peer.send(headOf(streamId));
    for (let number = 0; number <= STREAM_WINDOW / 16_384; number++) {
      peer.send(dataFrame(streamId, Buffer.alloc(16_384), false));
    }
    assert.equal((await slow.ended).code, 13);
    assert.equal((await peer.next('reset')).code, 3);
  });
});
