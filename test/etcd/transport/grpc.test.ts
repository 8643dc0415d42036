import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  MessageReader,
  percentDecode,
  responseHeaders,
  statusWithoutGrpc,
} from '../../../src/etcd/transport/grpc.js';
import { framed } from './support/scripted-server.js';

function readerOf(messages: Buffer[], maxBytes = 1_000_000) {
  const sink = {
    paused: false,
    admits: (_bytes: number) => true,
    onMessage: (message: Buffer) => messages.push(message),
  };
  return { sink, reader: new MessageReader(sink, maxBytes) };
}

describe('gRPC messages', () => {
  it('are the same however their bytes are split', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 8 }),
        fc.array(fc.nat(250), { maxLength: 20 }),
        (messages, cuts) => {
          const all = Buffer.concat(messages.map(framed));
          const at = [...new Set(cuts.filter((cut) => cut < all.length))].sort((a, b) => a - b);
          const read: Buffer[] = [];
          const { reader } = readerOf(read);
          for (const [index, start] of [0, ...at].entries()) {
            reader.read(all.subarray(start, at[index] ?? all.length));
          }
          assert.deepEqual(
            read.map((message) => message.toString('hex')),
            messages.map((message) => Buffer.from(message).toString('hex')),
          );
          assert.equal(reader.incomplete, false);
        },
      ),
    );
  });

  it('within one chunk are not copied', () => {
    const read: Buffer[] = [];
    const chunk = framed(Buffer.from('message'));
    readerOf(read).reader.read(chunk);
    assert.equal(read[0]?.buffer, chunk.buffer);
  });

  it('wait while the sink is paused', () => {
    const read: Buffer[] = [];
    const { sink, reader } = readerOf(read);
    const chunk = Buffer.concat([framed(Buffer.from('a')), framed(Buffer.from('b'))]);
    sink.onMessage = (message) => {
      sink.paused = true;
      return read.push(message);
    };
    const taken = reader.read(chunk);
    assert.deepEqual([taken, read.length], [6, 1]);
    sink.paused = false;
    assert.equal(reader.read(chunk.subarray(taken)), 6);
    assert.equal(read.join(), 'a,b');
  });

  it('are refused when compressed or too large, before anything is allocated', () => {
    const { reader } = readerOf([], 10);
    assert.throws(() => reader.read(Buffer.from([1, 0, 0, 0, 0])), { code: 13 });
    assert.throws(() => readerOf([], 10).reader.read(Buffer.from([0, 0xff, 0xff, 0xff, 0xff])), { code: 8 });
    const cut = readerOf([], 10).reader;
    cut.read(Buffer.from([0, 0, 0]));
    assert.equal(cut.incomplete, true);
    assert.throws(() => cut.read(Buffer.from([0, 11])), { code: 8 });
  });
});

describe('gRPC statuses', () => {
  it('come from the trailers', () => {
    const headers = responseHeaders([
      ['grpc-status', '5'],
      ['grpc-message', 'key %E2%82%AC not found: 100%'],
    ]);
    assert.equal(headers.status, 5);
    assert.equal(headers.message, 'key € not found: 100%');
  });

  it('are derived from HTTP where they are missing', () => {
    const codes = [400, 401, 403, 404, 429, 502, 503, 504, 500, 302].map(
      (status) => statusWithoutGrpc(responseHeaders([[':status', `${status}`]])).code,
    );
    assert.deepEqual(codes, [13, 16, 7, 12, 14, 14, 14, 14, 2, 2]);
    const page = responseHeaders([
      [':status', '200'],
      ['content-type', 'text/html'],
    ]);
    assert.deepEqual(statusWithoutGrpc(page), { code: 2, message: 'an answer of content type "text/html"' });
  });

  it('of headers that HTTP/2 forbids are not trusted', () => {
    assert.ok(responseHeaders([['Grpc-Status', '0']]).malformed);
    assert.ok(responseHeaders([[':path', '/']]).malformed);
    assert.ok(responseHeaders([[':status', '20']]).malformed);
    assert.ok(
      responseHeaders([
        [':status', '200'],
        [':status', '200'],
      ]).malformed,
    );
  });

  it('keep a percent sign that encodes nothing', () => {
    assert.equal(percentDecode('50%, %zz, %41'), '50%, %zz, A');
  });
});
