import assert from 'node:assert/strict';
import { Findings } from '../../../src/portal/rewriter/findings.js';
import { Leak, Refusal, refusals } from '../../../src/portal/rewriter/refusal.js';
import { rewriteRequest } from '../../../src/portal/rewriter/requests.js';
import { stripResponse } from '../../../src/portal/rewriter/responses.js';
import { messageRule } from '../../../src/portal/table/rules.js';
import { NEW_LEASE, scope } from '../model.js';
import { bytes, decode, integer, varint } from '../protobuf.js';

const found = new Findings();
const rewrite = (name: string, ...parts: Buffer[]): Buffer =>
  rewriteRequest(messageRule(name, 'request'), Buffer.concat(parts), scope, found, NEW_LEASE);

const raw = (...values: number[]): Buffer => Buffer.from(values);
const key = bytes(1, 'a');

function refused(refusal: Refusal, name: string, ...parts: Buffer[]): void {
  assert.throws(
    () => rewrite(name, ...parts),
    (error) => error === refusal,
  );
}

describe('strict reading of Protocol Buffers', () => {
  const malformed: [what: string, refusal: Refusal, message: string, ...parts: Buffer[]][] = [
    ['a tag that is cut', refusals.truncated, 'PutRequest', key, raw(0x80)],
    ['a varint that is not there', refusals.truncated, 'PutRequest', key, raw(0x18)],
    ['a varint that is cut', refusals.truncated, 'PutRequest', key, raw(0x18, 0xff, 0xff)],
    ['a length that is cut', refusals.truncated, 'PutRequest', key, raw(0x12, 0x80)],
    ['bytes that are cut', refusals.length, 'PutRequest', key, raw(0x12, 2, 1)],
    ['a length of 4 GB', refusals.length, 'PutRequest', key, raw(0x12, 0xff, 0xff, 0xff, 0xff, 0x0f)],
    [
      'a length of more than 32 bits',
      refusals.length,
      'PutRequest',
      key,
      raw(0x12, 0x80, 0x80, 0x80, 0x80, 0x10),
    ],
    ['a negative length', refusals.length, 'PutRequest', key, raw(0x12), varint(-1)],
    [
      'a field that goes beyond its message',
      refusals.length,
      'TxnRequest',
      raw(0x0a, 3, 0x1a, 5),
      bytes(2, 'abcdef'),
    ],
    [
      'an unknown field of 8 bytes that is cut',
      refusals.truncated,
      'PutRequest',
      key,
      raw(0x79, 1, 2, 3, 4, 5, 6, 7),
    ],
    ['an unknown field of 4 bytes that is cut', refusals.truncated, 'PutRequest', key, raw(0x7d, 1, 2, 3)],
    ['an unknown field that is too long', refusals.length, 'PutRequest', key, raw(0x7a, 5, 1)],
    ['a varint with a needless byte', refusals.overlongVarint, 'PutRequest', key, raw(0x18, 0x81, 0x00)],
    ['a tag with a needless byte', refusals.overlongVarint, 'PutRequest', raw(0x8a, 0x00, 1, 0x61)],
    ['a length with a needless byte', refusals.overlongVarint, 'PutRequest', raw(0x0a, 0x81, 0x00, 0x61)],
    [
      'a needless byte in an unknown field',
      refusals.overlongVarint,
      'PutRequest',
      key,
      raw(0x78, 0x80, 0x00),
    ],
    [
      'a varint of 11 bytes',
      refusals.overlongVarint,
      'PutRequest',
      key,
      raw(0x18, ...Array(10).fill(0xff), 1),
    ],
    ['a varint of 65 bits', refusals.overlongVarint, 'PutRequest', key, raw(0x18, ...Array(9).fill(0xff), 3)],
    ['the field number 0', refusals.fieldNumber, 'PutRequest', key, raw(0x00, 1)],
    ['the field number 0 with bytes', refusals.fieldNumber, 'Compare', raw(0x02, 1, 1)],
    ['a field number beyond 29 bits', refusals.fieldNumber, 'PutRequest', key, varint(1n << 32n), raw(1)],
    ['bytes as a varint', refusals.wireType, 'PutRequest', integer(1, 5)],
    ['a varint as bytes', refusals.wireType, 'PutRequest', key, bytes(3, 'a')],
    ['a bool as bytes', refusals.wireType, 'PutRequest', key, bytes(4, 'a')],
    ['a varint as 8 bytes', refusals.wireType, 'PutRequest', key, raw(0x19, 1, 2, 3, 4, 5, 6, 7, 8)],
    ['a varint as 4 bytes', refusals.wireType, 'RangeRequest', key, raw(0x1d, 1, 2, 3, 4)],
    ['an enumeration as bytes', refusals.wireType, 'RangeRequest', key, bytes(5, raw(1))],
    ['a message as a varint', refusals.wireType, 'TxnRequest', integer(2, 1)],
    ['a value as a varint', refusals.wireType, 'PutRequest', key, integer(2, 1)],
    ['filters of 4 bytes', refusals.wireType, 'WatchRequest', bytes(1, raw(0x2d, 1, 2, 3, 4))],
    ['wire type 6', refusals.wireType, 'PutRequest', key, raw(0x7e)],
    ['wire type 7', refusals.wireType, 'PutRequest', key, raw(0x7f)],
    ['a group', refusals.group, 'PutRequest', key, raw(0x7b, 0x7c)],
    ['the end of a group', refusals.group, 'PutRequest', key, raw(0x7c)],
    ['a known field as a group', refusals.wireType, 'PutRequest', raw(0x0b, 0x0c)],
    ['a key twice', refusals.twice, 'PutRequest', key, key],
    ['an empty key twice', refusals.twice, 'WatchRequest', bytes(1, bytes(1), bytes(1))],
    ['an empty key and another', refusals.twice, 'PutRequest', bytes(1), key],
    ['a key and an empty one', refusals.twice, 'PutRequest', key, bytes(1)],
    ['a range end twice', refusals.twice, 'RangeRequest', key, bytes(2, 'b'), bytes(2, 'c')],
    ['a number twice', refusals.twice, 'RangeRequest', key, integer(3, 1), integer(3, 1)],
    [
      'a compare’s range end twice',
      refusals.twice,
      'TxnRequest',
      bytes(1, bytes(3, 'a'), bytes(64, 'b'), bytes(64, 'c')),
    ],
    ['a nested message twice', refusals.twice, 'TxnRequest', bytes(2, bytes(2, key), bytes(2, key))],
    ['two operations in one', refusals.oneof, 'TxnRequest', bytes(2, bytes(1, key), bytes(2, key))],
    ['two requests of a watch', refusals.oneof, 'WatchRequest', bytes(1, key), bytes(3)],
    [
      'two values of a compare',
      refusals.oneof,
      'TxnRequest',
      bytes(1, bytes(3, 'a'), integer(4, 1), bytes(7, 'b')),
    ],
    ['a bool of 2', refusals.bool, 'PutRequest', key, integer(4, 2)],
    ['a bool of 2^32', refusals.bool, 'PutRequest', key, integer(4, 1n << 32n)],
    ['a negative bool', refusals.bool, 'PutRequest', key, integer(4, -1)],
    ['a sort target that etcd does not know', refusals.unknownValue, 'RangeRequest', key, integer(6, 5n)],
    ['a filter that etcd does not know', refusals.unknownValue, 'WatchCreateRequest', key, integer(5, 2n)],
    ['an enumeration beyond 32 bits', refusals.enumeration, 'RangeRequest', key, integer(5, 1n << 31n)],
    [
      'an enumeration below 32 bits',
      refusals.enumeration,
      'RangeRequest',
      key,
      integer(5, -(1n << 31n) - 1n),
    ],
    ['packed filters that are cut', refusals.truncated, 'WatchRequest', bytes(1, bytes(5, raw(1, 0x80)))],
    [
      'a packed filter beyond 32 bits',
      refusals.enumeration,
      'WatchRequest',
      bytes(1, bytes(5, varint(1n << 40n))),
    ],
    ['a password that is not UTF-8', refusals.utf8, 'AuthenticateRequest', bytes(2, raw(0x61, 0xc3))],
    ['a surrogate in a name', refusals.utf8, 'AuthenticateRequest', bytes(1, raw(0xed, 0xa0, 0x80))],
  ];
  for (const [what, refusal, name, ...parts] of malformed)
    it(`refuses ${what}`, () => {
      refused(refusal, name, ...parts);
      assert.equal(refusal.code, 3);
      assert.match(refusal.message, /^etcdserver: malformed request: /);
    });

  it('reads varints of every length', () => {
    for (let bits = 0n; bits <= 63n; bits++)
      for (const value of [(1n << bits) - 1n, 1n << bits, -(1n << bits)]) {
        const id = BigInt.asIntN(64, value);
        const out = decode('RangeRequest', rewrite('RangeRequest', key, integer(3, id)));
        assert.equal((out as { limit: string }).limit, String(id));
      }
  });

  it('drops unknown fields of every wire type, wherever they are', () => {
    const unknown = [
      integer(15, -1),
      raw(0x79, 1, 2, 3, 4, 5, 6, 7, 8),
      bytes(16, 'x'),
      raw(0x7d, 1, 2, 3, 4),
      bytes(65, 'y'),
    ];
    const expected = rewrite('PutRequest', key, bytes(2, 'v'));
    assert.deepEqual(rewrite('PutRequest', ...unknown, key, ...unknown, bytes(2, 'v'), ...unknown), expected);
    const nested = (...inner: Buffer[]) =>
      rewrite('TxnRequest', bytes(2, bytes(2, ...inner), ...unknown), ...unknown);
    assert.deepEqual(nested(...unknown, key, ...unknown), nested(key));
    assert.deepEqual(rewrite('PutRequest', bytes(536870911, 'x'), key), rewrite('PutRequest', key));
    assert.deepEqual(
      rewrite('PutRequest', bytes(33, 'x'), key),
      rewrite('PutRequest', key),
      'not field 1 of 32',
    );
    assert.deepEqual(
      rewrite('PutRequest', bytes(64, 'x'), key),
      rewrite('PutRequest', key),
      'no slot 0 here',
    );
  });

  it('takes packed and single filters, and both', () => {
    const filters = (...parts: Buffer[]) => {
      const out = decode('WatchRequest', rewrite('WatchRequest', bytes(1, key, ...parts)));
      return (out as { create_request: { filters: number[] } }).create_request.filters;
    };
    assert.deepEqual(filters(bytes(5, raw(0, 1))), [0, 1]);
    assert.deepEqual(filters(integer(5, 0), integer(5, 1)), [0, 1]);
    assert.deepEqual(filters(integer(5, 1), bytes(5, raw(0, 1)), integer(5, 1)), [1, 0, 1, 1]);
    assert.deepEqual(filters(bytes(5)), []);
  });

  it('holds answers to the same rules', () => {
    const strip = (...parts: Buffer[]) =>
      stripResponse(messageRule('RangeResponse', 'response'), Buffer.concat(parts), scope);
    assert.throws(() => strip(integer(4, 1), integer(4, 1)), Leak);
    assert.throws(() => strip(raw(0x0a, 9)), Leak);
    assert.deepEqual(
      strip(integer(9, 1), integer(4, 1), bytes(1, integer(9, 1))),
      Buffer.concat([integer(4, 1), bytes(1)]),
    );
  });

  it('says nothing of the message in a refusal', () => {
    assert.throws(
      () => rewrite('PutRequest', bytes(1, 'secret'), bytes(1, 'secret')),
      (error) => {
        assert(error instanceof Refusal);
        return !String(error.stack).includes('secret') && !error.message.includes('secret');
      },
    );
  });
});
