import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { ErrorCode } from '../../../src/http2/errors.js';
import {
  dataFrame,
  headersFrames,
  PREFACE,
  pingFrame,
  rstStreamFrame,
  settingsFrame,
  windowUpdateFrame,
  writeFrameHeader,
} from '../../../src/http2/frame-writers.js';
import { encodeInteger, encodeLiteral } from '../../../src/http2/hpack.js';
import { framed, type ScriptedPeer } from '../../etcd/transport/support/scripted-server.js';
import { callBlock, EchoPortal, type EchoPortalOptions, later } from '../support/echo-portal.js';

const { ENHANCE_YOUR_CALM, PROTOCOL_ERROR, FRAME_SIZE_ERROR, FLOW_CONTROL_ERROR } = ErrorCode;
const echo = callBlock('/test/Echo');

function frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.alloc(9 + payload.length);
  writeFrameHeader(bytes, 0, payload.length, type, flags, streamId);
  bytes.set(payload, 9);
  return bytes;
}

const many = (count: number, make: (index: number) => Uint8Array) =>
  Buffer.concat(Array.from({ length: count }, (_, index) => make(index)));

interface Attack {
  name: string;
  /** Before the exchange of settings. */
  raw?: boolean;
  run(peer: ScriptedPeer): void;
  code: number;
  options?: EchoPortalOptions;
}

const attacks: Attack[] = [
  {
    name: 'garbage instead of the preface',
    raw: true,
    run: (peer) => peer.send(Buffer.from('GET / HTTP/1.1\r\nHost: portal\r\n\r\n')),
    code: PROTOCOL_ERROR,
  },
  {
    name: 'a request before SETTINGS',
    raw: true,
    run: (peer) => peer.send(PREFACE, headersFrames(1, echo, true)),
    code: PROTOCOL_ERROR,
  },
  {
    name: 'silence instead of the preface',
    raw: true,
    run: () => {},
    code: ErrorCode.SETTINGS_TIMEOUT,
    options: { limits: { settingsTimeoutMs: 1 } },
  },
  {
    name: 'settings that are never acknowledged',
    raw: true,
    run: (peer) => peer.send(PREFACE, settingsFrame([])),
    code: ErrorCode.SETTINGS_TIMEOUT,
    options: { limits: { settingsTimeoutMs: 1 } },
  },
  {
    name: 'no request in time',
    run: () => {},
    code: ErrorCode.NO_ERROR,
    options: { limits: { firstRequestTimeoutMs: 1 } },
  },
  {
    name: 'no answer to a ping',
    run: (peer) => {
      peer.answersPings = false;
    },
    code: ErrorCode.NO_ERROR,
    options: { limits: { keepaliveIntervalMs: 1, keepaliveTimeoutMs: 1 } },
  },
  {
    name: 'a frame that is never finished',
    run: (peer) => peer.send(Buffer.from([0, 0, 8])),
    code: ENHANCE_YOUR_CALM,
    options: { limits: { frameTimeoutMs: 1 } },
  },
  {
    name: 'a flood of PING',
    run: (peer) => peer.send(many(3_000, () => pingFrame(Buffer.alloc(8), false))),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'a flood of SETTINGS',
    run: (peer) => peer.send(many(300, () => settingsFrame([[4, 70_000]]))),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'one SETTINGS with hundreds of entries',
    run: (peer) => peer.send(settingsFrame(Array.from({ length: 500 }, () => [4, 70_000] as const))),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'rapid resets',
    run: (peer) =>
      peer.send(
        many(3_000, (i) =>
          Buffer.concat([headersFrames(2 * i + 1, echo, false), rstStreamFrame(2 * i + 1, ErrorCode.CANCEL)]),
        ),
      ),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'rapid resets that it makes us send',
    run: (peer) =>
      peer.send(
        many(3_000, (i) =>
          Buffer.concat([headersFrames(2 * i + 1, echo, false), frame(8, 0, 2 * i + 1, Buffer.alloc(4))]),
        ),
      ),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'a flood of malformed requests',
    run: (peer) => peer.send(many(3_000, (i) => headersFrames(2 * i + 1, Buffer.alloc(0), true))),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'a flood of CONTINUATION',
    run: (peer) =>
      peer.send(
        frame(1, 0, 1),
        many(3_000, () => frame(9, 0, 1)),
      ),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'a header block without end',
    run: (peer) =>
      peer.send(
        frame(1, 0, 1),
        many(10, () => frame(9, 0, 1, Buffer.alloc(4_096))),
      ),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'hundreds of header fields',
    run: (peer) =>
      peer.send(
        headersFrames(
          1,
          many(200, () => encodeLiteral('a', 'b')),
          true,
        ),
      ),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'a small header block that means a large one',
    run: (peer) => {
      const large = Buffer.concat([
        Buffer.from([0x40, 1, 0x61]),
        encodeInteger(3_000, 7, 0),
        Buffer.alloc(3_000, 97),
      ]);
      peer.send(headersFrames(1, Buffer.concat([large, Buffer.alloc(50, 0x80 | 62)]), true));
    },
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'a flood of empty DATA',
    run: (peer) =>
      peer.send(
        headersFrames(1, echo, false),
        many(3_000, () => dataFrame(1, Buffer.alloc(0), false)),
      ),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'a flood of padding',
    run: (peer) =>
      peer.send(
        headersFrames(1, echo, false),
        many(3_000, () => frame(0, 8, 1, Buffer.from([3, 0, 0, 0]))),
      ),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'a flood of WINDOW_UPDATE',
    run: (peer) => peer.send(many(3_000, () => windowUpdateFrame(0, 1))),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'a flood of PRIORITY',
    run: (peer) => peer.send(many(3_000, (i) => frame(2, 0, 2 * i + 1, Buffer.alloc(5)))),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'a flood of unknown frames',
    run: (peer) => peer.send(many(3_000, () => frame(0xbb, 0, 0))),
    code: ENHANCE_YOUR_CALM,
  },
  {
    name: 'an oversized frame',
    run: (peer) => peer.send(frame(0, 0, 1, Buffer.alloc(16_385))),
    code: FRAME_SIZE_ERROR,
  },
  {
    name: "more data than the stream's window",
    run: (peer) => {
      const full = dataFrame(3, Buffer.alloc(16_384), false);
      full[9 + 3] = 0xff; // 65,280 bytes are announced; stream 1 has the memory for them
      const announced = dataFrame(1, Buffer.from([0, 0, 0, 0xff, 0]), false);
      peer.send(headersFrames(1, echo, false), announced, headersFrames(3, echo, false), full, full);
    },
    code: FLOW_CONTROL_ERROR,
    options: { limits: { requestMemoryBytes: 70_000 } },
  },
  {
    name: 'a window that overflows',
    run: (peer) => peer.send(windowUpdateFrame(0, 0x7fff_ffff)),
    code: FLOW_CONTROL_ERROR,
  },
  {
    name: 'an even stream',
    run: (peer) => peer.send(headersFrames(2, echo, true)),
    code: PROTOCOL_ERROR,
  },
  {
    name: 'data on an idle stream',
    run: (peer) => peer.send(dataFrame(7, Buffer.alloc(1), true)),
    code: PROTOCOL_ERROR,
  },
  {
    name: 'requests that are left half sent',
    run: (peer) => {
      for (let id = 1; id < 200; id += 2) {
        const half = dataFrame(
          id,
          Buffer.concat([Buffer.from([0, 0, 0x1f, 0, 0]), Buffer.alloc(10_000)]),
          false,
        );
        peer.send(headersFrames(id, echo, false), half);
      }
    },
    code: ENHANCE_YOUR_CALM,
    options: { limits: { requestTimeoutMs: 1 } },
  },
  {
    name: 'answers that are not taken',
    run: (peer) => peer.send(headersFrames(1, echo, false), dataFrame(1, framed(Buffer.alloc(9_000)), true)),
    code: ENHANCE_YOUR_CALM,
    options: { limits: { stallTimeoutMs: 1 } },
  },
  {
    name: 'more waiting answers than are allowed',
    run: (peer) => {
      const ask = dataFrame(1, framed(Buffer.from('100000')), false);
      peer.send(
        headersFrames(1, callBlock('/test/Flood'), false),
        many(20, () => ask),
      );
    },
    code: ENHANCE_YOUR_CALM,
    options: { limits: { maxQueuedBytes: 1_000_000 } },
  },
];

describe('A hostile client', () => {
  for (const { name, raw, run, code, options = {} } of attacks) {
    it(`is cut off: ${name}`, async () => {
      const portal = await new EchoPortal(options).listen();
      let most = 0;
      const watch = setInterval(() => {
        most = Math.max(most, portal.connections.budget.total);
      }, 20);
      try {
        const honest = await portal.client();
        const peer = raw ? await portal.socket() : await portal.peer([[4, 0]]);
        run(peer);
        const startedAt = performance.now();
        assert.equal((await honest.unary('/test/Echo', Buffer.from('hello'), later())).toString(), 'hello');
        assert.ok(performance.now() - startedAt < 1_000, 'others are answered within a second');
        const goaway = await peer.next('goaway');
        assert.equal(goaway.code, code, goaway.text);
        await peer.closed;
        assert.ok(most < 6 * 1024 * 1024, `held ${most} bytes`);
        assert.equal(portal.connections.budget.total, 0);
        assert.equal(portal.faults.length, 0);
      } finally {
        clearInterval(watch);
        await portal.stop();
      }
    });
  }
});
