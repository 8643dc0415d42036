import assert from 'node:assert/strict';
import fc from 'fast-check';
import { percentDecode } from '../../../src/etcd/transport/grpc.js';
import { ErrorCode } from '../../../src/http2/errors.js';
import {
  dataFrame,
  headersFrames,
  settingsFrame,
  windowUpdateFrame,
} from '../../../src/http2/frame-writers.js';
import type { GrpcServerCall, ServerCallHandlers } from '../../../src/portal/grpc/call.js';
import { parseTimeout, percentEncode } from '../../../src/portal/grpc/headers.js';
import { framed } from '../../etcd/transport/support/scripted-server.js';
import { callBlock, EchoPortal } from '../support/echo-portal.js';

describe('A gRPC call of the portal', () => {
  let portal: EchoPortal;
  let handlers: Partial<ServerCallHandlers>;
  let call: GrpcServerCall;
  const messages: string[] = [];

  beforeEach(async () => {
    handlers = {};
    messages.length = 0;
    portal = await new EchoPortal({
      onCall(started) {
        call = started;
        return {
          onMessage: (message) => messages.push(message.toString()),
          onHalfClose() {},
          onCancel() {},
          ...handlers,
        };
      },
    }).listen();
  });
  afterEach(() => portal.stop());

  const open = async (settings: [number, number][] = []) => {
    const peer = await portal.peer(settings);
    peer.send(headersFrames(1, callBlock('/test/Any'), false));
    return peer;
  };
  /** What was sent before has been dealt with when this returns. */
  const settled = async (peer: Awaited<ReturnType<typeof open>>) => {
    peer.send(settingsFrame([]));
    await peer.next('settings ack');
  };

  it('reads messages however they are cut', async () => {
    const peer = await open();
    const bytes = Buffer.concat(
      ['one', '', 'three', 'x'.repeat(40)].map((text) => framed(Buffer.from(text))),
    );
    for (const byte of bytes) {
      peer.send(dataFrame(1, Buffer.from([byte]), false));
    }
    peer.send(dataFrame(1, bytes, false));
    await settled(peer);
    assert.deepEqual(messages, [...messages.slice(0, 4), 'one', '', 'three', 'x'.repeat(40)]);
    assert.equal(messages.length, 8);
    assert.equal(portal.connections.budget.total, 0);
  });

  it('holds messages back while it is paused, and the end of the request too', async () => {
    handlers = {
      onMessage(message) {
        messages.push(message.toString());
        call.pause();
      },
      onHalfClose: () => messages.push('end'),
    };
    const peer = await open();
    peer.send(dataFrame(1, Buffer.concat([framed(Buffer.from('a')), framed(Buffer.from('b'))]), false));
    peer.send(dataFrame(1, framed(Buffer.from('c')), true));
    await settled(peer);
    assert.deepEqual(messages, ['a']);
    assert.ok(portal.connections.budget.total > 0);
    call.resume();
    assert.deepEqual(messages, ['a', 'b']);
    call.resume();
    assert.deepEqual(messages, ['a', 'b', 'c']);
    call.resume();
    assert.deepEqual(messages, ['a', 'b', 'c', 'end']);
    assert.equal(portal.connections.budget.total, 0);
  });

  it('tells a writer to wait, and when to go on', async () => {
    let drained = 0;
    handlers = { onDrain: () => drained++ };
    const peer = await open();
    await settled(peer);
    let written = 0;
    while (call.sendMessage(Buffer.alloc(10_000)) && written < 50) {
      written++;
    }
    assert.ok(written > 5 && written < 20, `${written}`);
    assert.equal(drained, 0);
    peer.send(windowUpdateFrame(0, 1_000_000), windowUpdateFrame(1, 1_000_000));
    await settled(peer);
    assert.equal(drained, 1);
    call.end(0);
    await peer.next('headers', ({ endStream }) => endStream);
  });

  it('ends after what waits', async () => {
    const peer = await open([[4, 0]]);
    await settled(peer);
    call.sendMessage(Buffer.from('last'));
    call.end(14, 'moved');
    assert.equal(call.sendMessage(Buffer.from('too late')), false);
    peer.send(windowUpdateFrame(1, 1_000));
    assert.equal((await peer.next('data')).data.toString(), '\0\0\0\0\u0004last');
    const { fields } = await peer.next('headers', ({ endStream }) => endStream);
    assert.deepEqual(fields, [
      ['grpc-status', '14'],
      ['grpc-message', 'moved'],
    ]);
  });

  it('ends only this call when what serves it throws', async () => {
    handlers = {
      onMessage() {
        throw new Error('a fault');
      },
    };
    const peer = await open();
    peer.send(dataFrame(1, framed(Buffer.from('x')), true));
    const { fields } = await peer.next('headers', ({ endStream }) => endStream);
    assert.deepEqual(fields.slice(2), [
      ['grpc-status', '13'],
      ['grpc-message', 'internal error'],
    ]);
    assert.match(String(portal.faults[0]), /a fault/);
    assert.equal(portal.connections.size, 1);
  });

  it('refuses a length of 4 GB at once, before the request ends', async () => {
    const peer = await open();
    peer.send(dataFrame(1, Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), false));
    const { fields } = await peer.next('headers', ({ endStream }) => endStream);
    assert.deepEqual(fields[2], ['grpc-status', '8']);
    assert.equal((await peer.next('reset')).code, ErrorCode.NO_ERROR);
  });
});

describe("gRPC's header fields", () => {
  it('reads timeouts', () => {
    const read = ['1H', '2M', '3S', '4m', '5u', '99999999S', '0n'].map(parseTimeout);
    assert.deepEqual(read, [3_600_000, 120_000, 3_000, 4, 0.005, 99_999_999_000, 0]);
    for (const wrong of ['', 'S', '1', '1s', '-1S', '999999999S', '1 S', '1.5S']) {
      assert.equal(parseTimeout(wrong), undefined, wrong);
    }
  });

  it('encodes messages so that they can be read back, in visible ASCII', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const encoded = percentEncode(text);
        assert.match(encoded, /^[\x20-\x7e]*$/);
        assert.equal(percentDecode(encoded), text);
      }),
    );
  });
});
