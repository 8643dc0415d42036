import assert from 'node:assert/strict';
import fc from 'fast-check';
import { codecOf } from '../../../src/etcd/messages/codec.js';
import type { InboundCall, InboundHandlers } from '../../../src/portal/calls/inbound.js';
import { messageOf } from '../../../src/portal/json/from-json.js';
import { JsonCall } from '../../../src/portal/json/json-call.js';
import { jsonOf } from '../../../src/portal/json/to-json.js';
import { JsonError, jsonValues } from '../../../src/portal/json/values.js';

/** A stream of keep-alives with this body, and what was done to both of its sides. */
function keepAlive(body: string) {
  const did: string[] = [];
  let call!: InboundCall;
  const exchange = {
    request: { method: 'POST', scheme: '', authority: '', path: '', fields: [] },
    body: Buffer.from(body),
    onCancel: undefined as ((reason: string) => void) | undefined,
    onWritable: undefined as (() => void) | undefined,
    isWritable: true,
    respond: (status: number) => did.push(`respond ${status}`),
    respondStream: (status: number) => did.push(`stream ${status}`),
    write: (data: unknown) => did.push(`write ${data}`) > 0 && exchange.isWritable,
    whenReleased: () => undefined,
    end: () => did.push('end'),
  };
  const handlers: InboundHandlers & { afterMessage?: () => void } = {
    onMessage: (message) => {
      did.push(`message ${codecOf('LeaseKeepAliveRequest').decode(message).ID}`);
      handlers.afterMessage?.();
    },
    onHalfClose: () => did.push('half closed'),
    onCancel: () => did.push('cancelled'),
    onDrain: () => did.push('drain'),
  };
  const start = () =>
    new JsonCall({
      exchange,
      path: '/etcdserverpb.Lease/LeaseKeepAlive',
      token: undefined,
      timeoutMs: undefined,
      definition: ['LeaseKeepAliveRequest', 'LeaseKeepAliveResponse', 'bidirectional'],
    }).start({
      accept: (accepted) => {
        call = accepted;
        return handlers;
      },
      closed: () => undefined,
    });
  return { did, exchange, handlers, start, call: () => call };
}

describe('A call that came as JSON', () => {
  const response = Buffer.from(codecOf('LeaseKeepAliveResponse').encode({ ID: '7', TTL: '0' }));

  it('is held back while it is paused, and half closed after its last message', () => {
    const { did, handlers, start, call } = keepAlive('{"ID":1}{"ID":"2"}\n{}');
    handlers.afterMessage = () => call().pause();
    start();
    assert.deepEqual(did, ['message 1']);
    call().resume();
    assert.deepEqual(did, ['message 1', 'message 2']);
    handlers.afterMessage = undefined as never;
    call().resume();
    assert.deepEqual(did, ['message 1', 'message 2', 'message 0', 'half closed']);
    call().resume();
    assert.equal(did.length, 4);
  });

  it('tells who sends too fast, and when it may go on', () => {
    const { did, exchange, start, call } = keepAlive('');
    start();
    assert.equal(call().sendMessage(response), true);
    exchange.isWritable = false;
    assert.equal(call().sendMessage(response), false);
    exchange.onWritable?.();
    call().end(14, 'gone');
    exchange.onWritable?.();
    call().end(0, '');
    assert.deepEqual(did, [
      'half closed',
      'stream 200',
      'write {"result":{"ID":"7"}}\n',
      'write {"result":{"ID":"7"}}\n',
      'drain',
      'write {"error":{"grpc_code":14,"http_code":503,"message":"gone","http_status":"Service Unavailable","code":14}}',
      'end',
    ]);
  });

  it('is cancelled once when the client goes, or when its body can’t be read', () => {
    const gone = keepAlive('{"ID":1}');
    gone.start();
    gone.exchange.onCancel?.('gone');
    gone.exchange.onCancel?.('gone');
    gone.call().end(14, 'late');
    assert.deepEqual(gone.did, ['message 1', 'half closed', 'cancelled']);
    const broken = keepAlive('{"ID":1}{"ID"');
    broken.start();
    assert.deepEqual(broken.did, ['cancelled', 'respond 400']);
  });
});

describe('JSON and messages', () => {
  const range = fc.record(
    {
      key: fc.uint8Array(),
      range_end: fc.uint8Array(),
      limit: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
      sort_order: fc.constantFrom('NONE', 'ASCEND', 'DESCEND'),
      serializable: fc.boolean(),
    },
    { requiredKeys: [] },
  );
  const bare = (value: unknown) => (typeof value === 'bigint' ? String(value) : value);

  it('any request survives, its integers as strings or as digits, its bytes in either alphabet', () => {
    fc.assert(
      fc.property(
        range,
        fc.boolean(),
        fc.constantFrom('base64', 'base64url'),
        (request, quoted, alphabet) => {
          const members = Object.entries(request).map(([name, value]) => {
            const text =
              typeof value === 'bigint' && !quoted
                ? String(value)
                : JSON.stringify(
                    value instanceof Uint8Array
                      ? Buffer.from(value).toString(alphabet as 'base64')
                      : bare(value),
                  );
            return `"${name}":${text}`;
          });
          const [json] = jsonValues(`{${members.join()}}`);
          const { key, range_end, limit, sort_order, serializable } = codecOf('RangeRequest').decode(
            messageOf('RangeRequest', json),
          );
          assert.deepEqual(
            [key, range_end, limit, String(sort_order).toUpperCase(), serializable],
            [
              Buffer.from(request.key ?? []),
              Buffer.from(request.range_end ?? []),
              String(request.limit ?? 0),
              request.sort_order ?? 'NONE',
              request.serializable ?? false,
            ],
          );
        },
      ),
    );
  });

  it('what is written is read again as the same message', () => {
    const kv = fc.record({
      key: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      create_revision: fc.bigInt(0n, 2n ** 63n - 1n).map(String),
      lease: fc.bigInt(0n, 2n ** 63n - 1n).map(String),
    });
    const event = fc.record({ type: fc.constantFrom('Put', 'Delete'), kv });
    fc.assert(
      fc.property(fc.array(event), fc.string(), (events, cancel_reason) => {
        const codec = codecOf('WatchResponse');
        const message = codec.encode({ events, cancel_reason, watch_id: '-1', created: false });
        const [json] = jsonValues(jsonOf('WatchResponse', message));
        assert.deepEqual(codec.decode(messageOf('WatchResponse', json)), codec.decode(message));
      }),
    );
  });

  it('any text is read as JSON reads it, or refused', () => {
    const text = fc.oneof(fc.json(), fc.string({ unit: fc.constantFrom(...'{}[]",:\\ 1-e.tnu\n') }));
    fc.assert(
      fc.property(text, (one) => {
        let expected: unknown;
        try {
          expected = [JSON.parse(one)];
        } catch {
          expected = undefined;
        }
        try {
          const values = [...jsonValues(one)];
          // One value after the other is not JSON, but is what streams are made of.
          if (values.length === 1 && expected !== undefined && !/-\d{15}|\d{16}/.test(one)) {
            assert.deepEqual(values, expected);
          }
        } catch (error) {
          assert.ok(error instanceof JsonError, String(error));
          assert.equal(expected, undefined);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
