import assert from 'node:assert/strict';
import { Findings } from '../../../src/portal/rewriter/findings.js';
import { type Refusal, refusals } from '../../../src/portal/rewriter/refusal.js';
import { MAX_OPERATIONS, rewriteRequest } from '../../../src/portal/rewriter/requests.js';
import { MAX_LEASE_TAG, scopeOf } from '../../../src/portal/rewriter/scope.js';
import { messageRule } from '../../../src/portal/table/rules.js';
import { NEW_LEASE, prefix, prefixEnd, scope, TAG } from '../model.js';
import { bytes, decode, encode, type Fields, integer } from '../protobuf.js';

const found = new Findings();
const rewrite = (name: string, fields: Fields | Buffer, newLease = NEW_LEASE, where = scope) => {
  const message = Buffer.isBuffer(fields) ? fields : encode(name, fields);
  // biome-ignore lint/suspicious/noExplicitAny: what protobufjs decodes is looked at by name
  return decode(name, rewriteRequest(messageRule(name, 'request'), message, where, found, newLease)) as any;
};
const refuses = (refusal: Refusal, name: string, fields: Fields | Buffer) =>
  assert.throws(
    () => rewrite(name, fields),
    (error) => error === refusal,
  );
const id = (lease: number | bigint) => String((BigInt(TAG) << 32n) | BigInt(lease));
const txn = (...success: Fields[]): Fields => ({ success });

describe('rewriting of requests', () => {
  describe('keys and ranges', () => {
    it('puts the prefix before a key; no range end stays none', () => {
      const out = rewrite('RangeRequest', { key: 'a', limit: 5n });
      assert.deepEqual([out.key, out.range_end, out.limit], [`${prefix}a`, '', '5']);
      assert.equal(rewrite('RangeRequest', { key: 'a', range_end: '' }).range_end, '');
    });

    it('puts the prefix before a range end', () => {
      for (const end of ['b', '\0\0', '0', '/', prefixEnd]) {
        assert.equal(rewrite('RangeRequest', { key: 'a', range_end: end }).range_end, prefix + end);
        assert.equal(rewrite('DeleteRangeRequest', { key: 'a', range_end: end }).range_end, prefix + end);
      }
    });

    it('ends what goes "to the end" at the prefix’s end', () => {
      const all = { key: '\0', range_end: '\0' };
      for (const name of ['RangeRequest', 'DeleteRangeRequest']) {
        const out = rewrite(name, all);
        assert.deepEqual([out.key, out.range_end], [`${prefix}\0`, prefixEnd]);
      }
      const compare = rewrite('TxnRequest', { compare: [{ ...all }] }).compare[0];
      assert.deepEqual([compare.key, compare.range_end], [`${prefix}\0`, prefixEnd]);
      const watch = rewrite('WatchRequest', { create_request: all }).create_request;
      assert.deepEqual([watch.key, watch.range_end], [`${prefix}\0`, prefixEnd]);
    });

    it('refuses empty keys as etcd does', () => {
      assert.equal(refusals.emptyKey.message, 'etcdserver: key is not provided');
      assert.equal(refusals.emptyKey.code, 3);
      for (const fields of [{}, { key: '' }] as Fields[]) {
        for (const name of ['RangeRequest', 'DeleteRangeRequest', 'PutRequest'])
          refuses(refusals.emptyKey, name, fields);
        refuses(refusals.emptyKey, 'RangeRequest', { ...fields, range_end: '\0' });
        refuses(refusals.emptyKey, 'TxnRequest', { compare: [{ ...fields, range_end: 'b' }] });
        refuses(refusals.emptyKey, 'TxnRequest', txn({ request_put: { ...fields, value: 'v' } }));
        refuses(
          refusals.emptyKey,
          'TxnRequest',
          txn({ request_txn: { failure: [{ request_range: fields }] } }),
        );
      }
    });

    it('answers an empty key of locks and elections with UNKNOWN, as etcd does', () => {
      assert.equal(refusals.emptyLockKey.message, 'etcdserver: key is not provided');
      assert.equal(refusals.emptyLockKey.code, 2);
      refuses(refusals.emptyLockKey, 'UnlockRequest', {});
      refuses(refusals.emptyLockKey, 'ResignRequest', { leader: { name: 'e', lease: 1n } });
      refuses(refusals.emptyLockKey, 'ProclaimRequest', { leader: { key: '', name: 'e' } });
    });

    it('takes a watch without a key as one from \\0', () => {
      for (const create of [{}, { key: '' }] as Fields[]) {
        const out = rewrite('WatchRequest', { create_request: create }).create_request;
        assert.deepEqual([out.key, out.range_end], [`${prefix}\0`, '']);
      }
    });

    it('passes a watch request that asks for nothing, as nothing', () => {
      assert.equal(
        rewriteRequest(messageRule('WatchRequest', 'request'), Buffer.from([]), scope, found).length,
        0,
      );
      assert.equal(found.watch, '');
    });

    it('takes the name of a lock or an election as a key’s beginning, an empty one too', () => {
      assert.equal(rewrite('LockRequest', { name: 'l', lease: 1n }).name, `${prefix}l`);
      assert.equal(rewrite('LockRequest', { lease: 1n }).name, prefix);
      assert.equal(rewrite('LockRequest', { name: '', lease: 1n }).name, prefix);
      assert.equal(rewrite('LeaderRequest', {}).name, prefix);
      assert.equal(rewrite('LeaderRequest', { name: 'e' }).name, `${prefix}e`);
      const { leader } = rewrite('ResignRequest', {
        leader: { name: 'e', key: `e/${TAG}`, rev: 5n, lease: 9n },
      });
      assert.deepEqual(leader, { name: `${prefix}e`, key: `${prefix}e/${TAG}`, rev: '5', lease: id(9) });
      assert.equal(rewrite('ProclaimRequest', { leader: { key: 'k', lease: 1n } }).leader.name, prefix);
    });

    it('leaves a missing leader to etcd’s own words', () => {
      assert.equal(rewrite('ProclaimRequest', { value: 'v' }).leader, null);
    });
  });

  describe('leases', () => {
    it('puts the tag above the tenant’s 32 bits', () => {
      for (const lease of [1n, 127n, 128n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn])
        for (const tag of [1, 7, 8, 1023, 1024, TAG, MAX_LEASE_TAG]) {
          const where = scopeOf(scope.prefix, tag);
          const out = rewrite('PutRequest', { key: 'a', lease }, 0, where);
          assert.equal(out.lease, String((BigInt(tag) << 32n) | lease));
          const above = rewrite('TxnRequest', { compare: [{ key: 'a', lease: 1n << 40n }] }, 0, where);
          assert.equal(above.compare[0].lease, String(BigInt(tag + 1) << 32n));
        }
      assert.equal(found.lease, 0, 'a compare names no lease');
    });

    it('names a lease that never exists for one that a tenant can’t have, and says so', () => {
      for (const lease of [1n << 32n, -1n, BigInt(id(5)), (1n << 63n) - 1n, -(1n << 63n)]) {
        assert.equal(rewrite('PutRequest', { key: 'a', lease }).lease, id(0));
        for (const name of ['LeaseRevokeRequest', 'LeaseKeepAliveRequest', 'LeaseTimeToLiveRequest']) {
          assert.equal(rewrite(name, { ID: lease }).ID, id(0));
          assert.equal(found.unknownLease, true);
          const high = BigInt(found.unknownLeaseHigh) << 32n;
          assert.equal(BigInt.asIntN(64, high | BigInt(found.unknownLeaseLow >>> 0)), lease);
        }
        assert.equal(rewrite('LockRequest', { name: 'l', lease }).lease, id(0));
        assert.equal(rewrite('CampaignRequest', { name: 'e', lease }).lease, id(0));
      }
      rewrite('LeaseRevokeRequest', { ID: 5n });
      assert.equal(found.unknownLease, false);
    });

    it('leaves 0, no lease, as it is', () => {
      assert.equal(rewrite('PutRequest', { key: 'a', lease: 0n }).lease, '0');
      assert.equal(rewrite('LeaseTimeToLiveRequest', { ID: 0n }).ID, '0');
      assert.equal(found.leases, 0);
    });

    it('puts in the caller’s lease where the client leaves the choice to etcd', () => {
      assert.equal(rewrite('LeaseGrantRequest', { TTL: 5n }).ID, id(NEW_LEASE));
      assert.equal(found.tookNewLease, true);
      assert.equal(found.lease, NEW_LEASE);
      assert.equal(rewrite('LeaseGrantRequest', { TTL: 5n, ID: 0n }).ID, id(NEW_LEASE));
      assert.equal(rewrite('LockRequest', { name: 'l' }).lease, id(NEW_LEASE));
      assert.equal(rewrite('CampaignRequest', { name: 'e', lease: 0n }).lease, id(NEW_LEASE));
      assert.equal(rewrite('ProclaimRequest', { leader: { key: 'k' } }).leader.lease, id(NEW_LEASE));
      assert.throws(() => rewrite('LeaseGrantRequest', { TTL: 5n }, 0), /new lease/);
      assert.throws(() => rewrite('LockRequest', { name: 'l' }, 0), /new lease/);
    });

    it('grants an id that the client chose where it fits', () => {
      assert.equal(rewrite('LeaseGrantRequest', { TTL: 5n, ID: 0xffff_ffffn }).ID, id(0xffff_ffff));
      assert.equal(found.tookNewLease, false);
      for (const lease of [1n << 32n, -1n, BigInt(id(1))])
        refuses(refusals.leaseId, 'LeaseGrantRequest', { TTL: 5n, ID: lease });
      assert.equal(refusals.leaseId.code, 3);
    });

    it('keeps the order of compared leases', () => {
      const compared = (lease: bigint) =>
        BigInt(rewrite('TxnRequest', { compare: [{ key: 'a', lease }] }).compare[0].lease);
      const order = [-(1n << 63n), -1n, 0n, 1n, 0xffff_ffffn, 1n << 32n].map(compared);
      assert.deepEqual(
        order,
        [...order].sort((a, b) => (a < b ? -1 : 1)),
      );
      assert.equal(order[2], 0n);
      assert.equal(order[3], BigInt(id(1)));
    });
  });

  describe('transactions', () => {
    const rule = messageRule('TxnRequest', 'request');
    const nested = (depth: number, key = 'k'): Buffer => {
      let inner = encode('TxnRequest', txn({ request_put: { key, value: 'v' } }));
      for (let level = 0; level < depth; level++) inner = bytes(2, bytes(4, inner));
      return inner;
    };

    it('reach as deep as etcd’s, and no deeper', () => {
      for (const depth of [40, 128]) {
        // protobufjs itself gives up long before.
        assert.deepEqual(rewriteRequest(rule, nested(depth), scope, found), nested(depth, `${prefix}k`));
        assert.deepEqual([found.nesting, found.puts], [depth, 1]);
      }
      refuses(refusals.tooManyOperations, 'TxnRequest', nested(129));
      assert.equal(refusals.tooManyOperations.message, 'etcdserver: too many operations in txn request');
    });

    it('never overflow the stack', () => {
      let deep: Buffer = Buffer.from([]);
      for (let level = 0; level < 5_000; level++) deep = bytes(2, bytes(4, deep));
      assert.throws(
        () => rewrite('TxnRequest', deep),
        (error) => Object.values(refusals).includes(error as never),
      );
    });

    it('refuse an operation that is none, as etcd does', () => {
      refuses(refusals.keyNotFound, 'TxnRequest', txn({}));
      refuses(refusals.keyNotFound, 'TxnRequest', bytes(3, integer(9, 1)));
      assert.equal(refusals.keyNotFound.message, 'etcdserver: key not found');
    });

    it('have a bound for all operations together, and for how much they grow', () => {
      const op = bytes(3, bytes(1, bytes(1, 'a')));
      refuses(refusals.tooLarge, 'TxnRequest', Buffer.concat(Array(MAX_OPERATIONS).fill(op)));
      const large = bytes(3, bytes(1, bytes(1, Buffer.alloc(100))));
      rewrite('TxnRequest', Buffer.concat(Array(MAX_OPERATIONS).fill(large)));
      refuses(refusals.tooManyOperations, 'TxnRequest', Buffer.concat(Array(MAX_OPERATIONS + 1).fill(large)));
    });
  });
});
