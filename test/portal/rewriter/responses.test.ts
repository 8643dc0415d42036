import assert from 'node:assert/strict';
import { Leak } from '../../../src/portal/rewriter/refusal.js';
import { stripResponse } from '../../../src/portal/rewriter/responses.js';
import { headerIdentity, scopeOf } from '../../../src/portal/rewriter/scope.js';
import { messageRule } from '../../../src/portal/table/rules.js';
import { prefix, prefixEnd, scope, TAG, withIdentity } from '../model.js';
import { bytes, decode, encode, type Fields, integer } from '../protobuf.js';

const strip = (name: string, fields: Fields | Buffer, where = scope) => {
  const message = Buffer.isBuffer(fields) ? fields : encode(name, fields);
  // biome-ignore lint/suspicious/noExplicitAny: what protobufjs decodes is looked at by name
  return decode(name, stripResponse(messageRule(name, 'response'), message, where)) as any;
};
const leaks = (name: string, fields: Fields) =>
  assert.throws(
    () => strip(name, fields),
    (error) => {
      assert(error instanceof Leak);
      return !error.message.includes('secret');
    },
  );
const inside = (lease: number) => (BigInt(TAG) << 32n) | BigInt(lease);
const key = `${prefix}a`;
const header = { cluster_id: 1n, member_id: 2n, revision: 3n, raft_term: 4n };

/** A response with one key, wherever a key can be. */
const places: [where: string, name: string, make: (key: string) => Fields][] = [
  ['a range', 'RangeResponse', (one) => ({ kvs: [{ key }, { key: one }] })],
  ['a chunk of a range', 'RangeStreamResponse', (one) => ({ range_response: { kvs: [{ key: one }] } })],
  ['a put', 'PutResponse', (one) => ({ prev_kv: { key: one } })],
  ['a deletion', 'DeleteRangeResponse', (one) => ({ deleted: 1n, prev_kvs: [{ key: one }] })],
  ['a nested range', 'TxnResponse', (one) => ({ responses: [{ response_range: { kvs: [{ key: one }] } }] })],
  ['a nested put', 'TxnResponse', (one) => ({ responses: [{ response_put: { prev_kv: { key: one } } }] })],
  [
    'a nested deletion',
    'TxnResponse',
    (one) => ({ responses: [{ response_delete_range: { prev_kvs: [{ key: one }] } }] }),
  ],
  [
    'a transaction in another',
    'TxnResponse',
    (one) => ({
      responses: [{ response_txn: { responses: [{ response_range: { kvs: [{ key: one }] } }] } }],
    }),
  ],
  ['an event', 'WatchResponse', (one) => ({ events: [{ kv: { key: one } }] })],
  [
    'an event’s previous value',
    'WatchResponse',
    (one) => ({ events: [{ kv: { key }, prev_kv: { key: one } }] }),
  ],
  ['a lease', 'LeaseTimeToLiveResponse', (one) => ({ TTL: 5n, keys: [key, one] })],
  ['a lock', 'LockResponse', (one) => ({ key: one })],
  ['a candidate', 'CampaignResponse', (one) => ({ leader: { name: key, key: one } })],
  ['a leader', 'LeaderResponse', (one) => ({ kv: { key: one } })],
];
const foreign = [
  '',
  '/',
  prefix,
  prefix.slice(0, -1),
  prefixEnd,
  `${prefixEnd}a`,
  '/d/',
  '/_broker/v1/secret',
  `x${prefix}a`,
  prefix.toUpperCase(),
];

describe('stripping of responses', () => {
  for (const [where, name, make] of places) {
    it(`takes the prefix off the key of ${where}`, () => {
      assert.deepEqual(strip(name, make(key)), decode(name, encode(name, strippedOf(make(key)))));
    });

    it(`ends at a foreign key in ${where}`, () => {
      for (const one of foreign) leaks(name, make(one));
    });
  }

  it('ends where a key is missing', () => {
    leaks('RangeResponse', { kvs: [{ value: 'secret' }] });
    leaks('LockResponse', {});
    leaks('CampaignResponse', { leader: { name: key } });
    leaks('CampaignResponse', { leader: { key } });
    leaks('CampaignResponse', { leader: { name: '/d/secret', key } });
  });

  it('takes the prefix off an election’s name, which may be empty', () => {
    const leader = (name: string) =>
      strip('CampaignResponse', { leader: { name, key: `${prefix}e/1`, rev: 7n, lease: inside(5) } }).leader;
    assert.deepEqual(leader(`${prefix}e`), { name: 'e', key: 'e/1', rev: '7', lease: '5' });
    assert.equal(leader(prefix).name, '');
  });

  it('gives leases back in 32 bits; one of another key space is none', () => {
    const lease = (id: bigint) => strip('PutResponse', { prev_kv: { key, lease: id } }).prev_kv.lease;
    for (const id of [1, 127, 128, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff])
      assert.equal(lease(inside(id)), String(id));
    for (const id of [0n, 5n, inside(0), inside(5) + (1n << 32n), -1n, 5n << 32n])
      assert.equal(lease(id), '0');
  });

  it('ends at an answer about another lease than one’s own', () => {
    for (const name of ['LeaseGrantResponse', 'LeaseKeepAliveResponse', 'LeaseTimeToLiveResponse']) {
      assert.equal(strip(name, { ID: inside(9) }).ID, '9');
      assert.equal(strip(name, { ID: 0n }).ID, '0');
      assert.equal(strip(name, { ID: inside(0), TTL: -1n }).ID, '0');
      for (const id of [5n, inside(5) + (1n << 32n), -1n]) leaks(name, { ID: id });
    }
  });

  it('lists one’s own leases only', () => {
    const leases = [5n, inside(1), inside(5) + (1n << 32n), inside(0xffff_ffff), -1n, inside(0)].map(
      (ID) => ({ ID }),
    );
    const out = strip('LeaseLeasesResponse', { header, leases: [...leases, {}] });
    assert.deepEqual(out.leases, [{ ID: '1' }, { ID: '4294967295' }]);
    assert.equal(out.header.revision, '3');
  });

  it('passes the header, or puts the portal’s identity in', () => {
    const plain = { cluster_id: '1', member_id: '2', revision: '3', raft_term: '4' };
    assert.deepEqual(strip('PutResponse', { header }).header, plain);
    const seen = { ...plain, cluster_id: '7', member_id: '18446744073709551615' };
    assert.deepEqual(strip('PutResponse', { header }, withIdentity).header, seen);
    assert.deepEqual(strip('RangeResponse', { header, kvs: [{ key }] }, withIdentity).header, seen);
    assert.equal(strip('RangeResponse', { count: 1n }, withIdentity).header, null);
    // Within a transaction etcd tells the revision alone, and so does the portal.
    const nested = { response_range: { header: { revision: 3n } } };
    const { responses } = strip('TxnResponse', { header, responses: [nested] }, withIdentity);
    const of = (responses as { response_range: { header: object } }[])[0]?.response_range.header;
    assert.deepEqual(of, { cluster_id: '0', member_id: '0', revision: '3', raft_term: '0' });
  });

  it('leaves out what a newer etcd adds', () => {
    const kv = Buffer.concat([bytes(1, key), bytes(20, 'new'), bytes(5, 'v'), integer(21, 5)]);
    const message = Buffer.concat([bytes(2, kv), bytes(30, 'new'), integer(4, 1)]);
    const expected = Buffer.concat([bytes(2, bytes(1, 'a'), bytes(5, 'v')), integer(4, 1)]);
    assert.deepEqual(stripResponse(messageRule('RangeResponse', 'response'), message, scope), expected);
  });

  it('shrinks lengths of one, two and three bytes', () => {
    for (const size of [0, 60, 100, 127, 128, 129, 16_300, 16_383, 16_384, 16_400, 2_097_152]) {
      const value = 'v'.repeat(size);
      const out = strip('RangeResponse', {
        kvs: [
          { key, value },
          { key: `${prefix}b`, value },
        ],
      });
      assert.deepEqual(
        out.kvs.map((kv: { key: string }) => kv.key),
        ['a', 'b'],
      );
      assert(out.kvs.every((kv: { value: string }) => kv.value === value));
    }
  });

  it('strips 20,000 keys', () => {
    const kvs = Array.from({ length: 20_000 }, (_, n) => ({
      key: `${prefix}key${n}`,
      value: `${n}`,
      mod_revision: 5n,
    }));
    const out = strip('RangeResponse', { header, kvs, count: 20_000n });
    assert.equal(out.kvs.length, 20_000);
    out.kvs.forEach((kv: { key: string; value: string }, n: number) => {
      assert.deepEqual([kv.key, kv.value], [`key${n}`, `${n}`]);
    });
  });
});

describe('a scope', () => {
  it('has a prefix that ends with / and a tag of 31 bits', () => {
    assert.deepEqual(scopeOf(Buffer.from('/d/x/'), 1).prefixEnd, Buffer.from('/d/x0'));
    for (const wrong of ['', '/', 'a', '/d/x'])
      assert.throws(() => scopeOf(Buffer.from(wrong), 1), RangeError);
    for (const tag of [0, -1, 1.5, 2 ** 31 - 1, 2 ** 31, Number.NaN])
      assert.throws(() => scopeOf(Buffer.from('/d/x/'), tag), RangeError);
  });

  it('writes an identity as two fields of a header', () => {
    const header = decode('ResponseHeader', headerIdentity(1n << 63n, 300n));
    assert.deepEqual(header, {
      cluster_id: String(1n << 63n),
      member_id: '300',
      revision: '0',
      raft_term: '0',
    });
  });
});

/** The same fields with the prefix off every text that begins with it. */
function strippedOf(value: Fields): Fields {
  const text = JSON.stringify(value, (_, one) => (typeof one === 'bigint' ? { n: String(one) } : one));
  return JSON.parse(text.replaceAll(`"${prefix}`, '"'), (_, one) =>
    one?.n === undefined ? one : BigInt(one.n),
  );
}
