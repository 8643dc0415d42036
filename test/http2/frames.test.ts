import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ConnectionError, ErrorCode } from '../../src/http2/errors.js';
import {
  dataFrame,
  goawayFrame,
  headersFrames,
  pingFrame,
  rstStreamFrame,
  settingsAckFrame,
  settingsFrame,
  windowUpdateFrame,
  writeFrameHeader,
} from '../../src/http2/frame-writers.js';
import { type FrameHandler, FrameParser } from '../../src/http2/frames.js';
import { settingsOf } from '../../src/http2/settings.js';

type Event = [name: string, ...values: unknown[]];

function recorder(): { events: Event[]; parser: FrameParser } {
  const events: Event[] = [];
  const handler: FrameHandler = {
    onData: (id, data, end, flowBytes) => events.push(['data', id, data.toString('hex'), end, flowBytes]),
    onHeaders: (id, block, end) => events.push(['headers', id, block.toString('hex'), end]),
    onRstStream: (id, code) => events.push(['reset', id, code]),
    onSettings: (entries) => events.push(['settings', ...settingsOf(entries)]),
    onSettingsAck: () => events.push(['settings ack']),
    onPing: (data, ack) => events.push(['ping', data.toString('hex'), ack]),
    onGoaway: (last, code, debug) => events.push(['goaway', last, code, debug.toString()]),
    onWindowUpdate: (id, increment) => events.push(['window', id, increment]),
    onStreamError: (id, code) => events.push(['stream error', id, code]),
  };
  return { events, parser: new FrameParser(handler) };
}

function parse(...chunks: Uint8Array[]): Event[] {
  const { events, parser } = recorder();
  for (const chunk of chunks) {
    parser.push(Buffer.from(chunk));
  }
  return events;
}

function raw(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(9);
  writeFrameHeader(header, 0, payload.length, type, flags, streamId);
  return Buffer.concat([header, payload]);
}

const streamId = fc.integer({ min: 1, max: 0x7fff_ffff });
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const bytes = (maxLength: number) =>
  fc.uint8Array({ maxLength, size: 'max' }).map((array) => Buffer.from(array));

/** A frame's bytes with what a parser must make of them. */
const anyFrame: fc.Arbitrary<[Buffer, Event]> = fc.oneof(
  fc
    .tuple(streamId, bytes(2_000), fc.boolean())
    .map(([id, data, end]): [Buffer, Event] => [
      dataFrame(id, data, end),
      ['data', id, data.toString('hex'), end, data.length],
    ]),
  fc
    .tuple(streamId, bytes(40_000), fc.boolean())
    .map(([id, block, end]): [Buffer, Event] => [
      headersFrames(id, block, end),
      ['headers', id, block.toString('hex'), end],
    ]),
  fc
    .tuple(streamId, uint32)
    .map(([id, code]): [Buffer, Event] => [rstStreamFrame(id, code), ['reset', id, code]]),
  fc
    .array(fc.tuple(fc.integer({ min: 0, max: 0xffff }), uint32), { maxLength: 8 })
    .map((settings): [Buffer, Event] => [settingsFrame(settings), ['settings', ...settings]]),
  fc.constant<[Buffer, Event]>([settingsAckFrame(), ['settings ack']]),
  fc
    .tuple(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.boolean())
    .map(([data, ack]): [Buffer, Event] => [
      pingFrame(data, ack),
      ['ping', Buffer.from(data).toString('hex'), ack],
    ]),
  fc
    .tuple(fc.integer({ min: 0, max: 0x7fff_ffff }), uint32, fc.string())
    .map(([last, code, debug]): [Buffer, Event] => [
      goawayFrame(last, code, debug),
      ['goaway', last, code, Buffer.from(debug).toString()],
    ]),
  fc
    .tuple(fc.integer({ min: 0, max: 0x7fff_ffff }), streamId)
    .map(([id, increment]): [Buffer, Event] => [windowUpdateFrame(id, increment), ['window', id, increment]]),
);

describe('the frame codec', () => {
  it('reads what it writes, however the bytes are split', () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 6 }),
        fc.array(fc.nat(60_000), { maxLength: 12 }),
        (frames, cuts) => {
          const all = Buffer.concat(frames.map(([frame]) => frame));
          const at = [...new Set(cuts.filter((cut) => cut < all.length))].sort((a, b) => a - b);
          const chunks = [0, ...at].map((start, index) => all.subarray(start, at[index] ?? all.length));
          assert.deepEqual(
            parse(...chunks),
            frames.map(([, event]) => event),
          );
        },
      ),
      { numRuns: 200 },
    );
  });

  it('reads frames byte by byte', () => {
    const all = Buffer.concat([
      pingFrame(Buffer.alloc(8), false),
      settingsAckFrame(),
      dataFrame(1, Buffer.from('x'), true),
    ]);
    const events = parse(...Array.from(all, (byte) => Buffer.from([byte])));
    assert.deepEqual(
      events.map(([name]) => name),
      ['ping', 'settings ack', 'data'],
    );
  });

  it('fails on random bytes with an HTTP/2 error, or waits', () => {
    fc.assert(
      fc.property(fc.array(bytes(300), { maxLength: 20 }), (chunks) => {
        try {
          parse(...chunks);
        } catch (error) {
          assert.ok(error instanceof ConnectionError, `${error}`);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('takes padding and priority off, and counts padding against the window', () => {
    const padded = Buffer.from([3, 0xaa, 0xbb, 0, 0, 0]);
    assert.deepEqual(parse(raw(0x0, 0x8, 1, padded)), [['data', 1, 'aabb', false, 6]]);
    const both = Buffer.from([2, 0, 0, 0, 0, 9, 0x82, 0, 0]);
    assert.deepEqual(parse(raw(0x1, 0x4 | 0x8 | 0x20, 1, both)), [['headers', 1, '82', false]]);
  });

  it('dispatches nothing after it was stopped', () => {
    const { events, parser } = recorder();
    const ping = pingFrame(Buffer.alloc(8), false);
    parser.push(ping.subarray(0, 12));
    parser.stop();
    parser.push(ping.subarray(12));
    parser.push(ping);
    assert.deepEqual(events, []);
  });

  it('ignores types and flags that it does not know, and the reserved bit', () => {
    assert.deepEqual(parse(raw(0xbe, 0xff, 7, Buffer.from('?')), raw(0x6, 0xfe, 0, Buffer.alloc(8))), [
      ['ping', '0000000000000000', false],
    ]);
    assert.deepEqual(parse(raw(0x3, 0, 0x8000_0001, Buffer.alloc(4))), [['reset', 1, 0]]);
  });

  it('knows whether bytes end in the middle of a frame or a header block', () => {
    const { parser } = recorder();
    parser.push(pingFrame(Buffer.alloc(8), false).subarray(0, 12));
    assert.equal(parser.incomplete, true);
    const other = recorder().parser;
    other.push(raw(0x1, 0, 1, Buffer.from([0x82])));
    assert.equal(other.incomplete, true);
    other.push(raw(0x9, 0x4, 1, Buffer.from([0x84])));
    assert.equal(other.incomplete, false);
  });

  const { PROTOCOL_ERROR, FRAME_SIZE_ERROR, ENHANCE_YOUR_CALM } = ErrorCode;
  const broken: [what: string, code: number, ...frames: Buffer[]][] = [
    ['a frame above 16,384 bytes', FRAME_SIZE_ERROR, raw(0x0, 0, 1, Buffer.alloc(16_385)).subarray(0, 9)],
    ['DATA without a stream', PROTOCOL_ERROR, raw(0x0, 0, 0)],
    ['HEADERS without a stream', PROTOCOL_ERROR, raw(0x1, 0x4, 0)],
    ['RST_STREAM without a stream', PROTOCOL_ERROR, raw(0x3, 0, 0, Buffer.alloc(4))],
    ['RST_STREAM of 5 bytes', FRAME_SIZE_ERROR, raw(0x3, 0, 1, Buffer.alloc(5))],
    ['SETTINGS on a stream', PROTOCOL_ERROR, raw(0x4, 0, 1)],
    ['SETTINGS of 7 bytes', FRAME_SIZE_ERROR, raw(0x4, 0, 0, Buffer.alloc(7))],
    ['an acknowledgement with settings', FRAME_SIZE_ERROR, raw(0x4, 0x1, 0, Buffer.alloc(6))],
    ['PING on a stream', PROTOCOL_ERROR, raw(0x6, 0, 1, Buffer.alloc(8))],
    ['PING of 7 bytes', FRAME_SIZE_ERROR, raw(0x6, 0, 0, Buffer.alloc(7))],
    ['GOAWAY on a stream', PROTOCOL_ERROR, raw(0x7, 0, 1, Buffer.alloc(8))],
    ['GOAWAY of 7 bytes', FRAME_SIZE_ERROR, raw(0x7, 0, 0, Buffer.alloc(7))],
    ['WINDOW_UPDATE of 3 bytes', FRAME_SIZE_ERROR, raw(0x8, 0, 0, Buffer.alloc(3))],
    ['WINDOW_UPDATE by 0', PROTOCOL_ERROR, raw(0x8, 0, 0, Buffer.alloc(4))],
    ['PUSH_PROMISE', PROTOCOL_ERROR, raw(0x5, 0x4, 1, Buffer.alloc(4))],
    ['CONTINUATION without HEADERS', PROTOCOL_ERROR, raw(0x9, 0x4, 1)],
    ['a header block that PING interrupts', PROTOCOL_ERROR, raw(0x1, 0, 1), raw(0x6, 0, 0, Buffer.alloc(8))],
    ['a header block that goes on elsewhere', PROTOCOL_ERROR, raw(0x1, 0, 1), raw(0x9, 0x4, 3)],
    ['more padding than frame', PROTOCOL_ERROR, raw(0x0, 0x8, 1, Buffer.from([2, 0]))],
    [
      'padding that leaves no room for the priority',
      PROTOCOL_ERROR,
      raw(0x1, 0x2c, 1, Buffer.from([3, 0, 0, 0, 0, 0])),
    ],
    ['a padded frame without a length', FRAME_SIZE_ERROR, raw(0x0, 0x8, 1)],
    [
      'a header block above 64 KiB',
      ENHANCE_YOUR_CALM,
      raw(0x1, 0, 1, Buffer.alloc(16_384)),
      ...Array.from({ length: 4 }, () => raw(0x9, 0, 1, Buffer.alloc(16_384))),
    ],
    [
      'endless empty CONTINUATIONs',
      ENHANCE_YOUR_CALM,
      raw(0x1, 0, 1),
      ...Array.from({ length: 20 }, () => raw(0x9, 0, 1)),
    ],
  ];
  for (const [what, code, ...frames] of broken) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => parse(...frames),
        (error) => error instanceof ConnectionError && error.code === code,
      );
    });
  }

  it('reports what is wrong on one stream only', () => {
    assert.deepEqual(parse(raw(0x8, 0, 5, Buffer.alloc(4)), raw(0x2, 0, 5, Buffer.alloc(4))), [
      ['stream error', 5, PROTOCOL_ERROR],
      ['stream error', 5, FRAME_SIZE_ERROR],
    ]);
  });
});
