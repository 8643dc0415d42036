import assert from 'node:assert/strict';
import { Findings } from '../../../src/portal/rewriter/findings.js';
import { rewriteRequest } from '../../../src/portal/rewriter/requests.js';
import { messageRule } from '../../../src/portal/table/rules.js';
import { NEW_LEASE, prefix, scope } from '../model.js';
import { encode, type Fields } from '../protobuf.js';

const found = new Findings();
const rewrite = (name: string, fields: Fields) =>
  rewriteRequest(messageRule(name, 'request'), encode(name, fields), scope, found, NEW_LEASE);

describe('findings of a request', () => {
  it('are what a transaction does, at every depth', () => {
    rewrite('TxnRequest', {
      compare: [{ key: 'c', value: 'vvv' }],
      success: [
        { request_put: { key: 'a', value: '12345', lease: 3n } },
        { request_range: { key: 'a', revision: 90n } },
        {
          request_txn: {
            failure: [{ request_put: { key: 'bc' } }, { request_delete_range: { key: 'd' } }],
          },
        },
      ],
      failure: [
        { request_range: { key: 'a', revision: 70n } },
        { request_range: { key: 'a', revision: -7n } },
      ],
    });
    assert.equal(found.storedBytes, 2 * prefix.length + 1 + 5 + 2);
    assert.deepEqual([found.puts, found.deletes, found.ranges], [2, 1, 3]);
    assert.equal(found.operations, 8);
    assert.equal(found.nesting, 1);
    assert.equal(found.lowestRevision, 70);
    assert.deepEqual([found.leases, found.lease], [1, 3]);
    assert.equal(found.writes, true);
  });

  it('begin anew with each request', () => {
    rewrite('TxnRequest', { compare: [{ key: 'c' }], success: [{ request_range: { key: 'a' } }] });
    assert.deepEqual({ ...found }, { ...new Findings(), ranges: 1, operations: 2 });
    assert.equal(found.writes, false);
    rewrite('WatchRequest', { create_request: { key: 'a', start_revision: 1n << 60n, watch_id: 77n } });
    const watch = { watch: 'create', watchId: 77, lowestRevision: 2 ** 53 };
    assert.deepEqual({ ...found }, { ...new Findings(), ...watch });
    rewrite('WatchRequest', { cancel_request: { watch_id: -1n } });
    assert.deepEqual([found.watch, found.watchId], ['cancel', -1]);
    rewrite('WatchRequest', { progress_request: {} });
    assert.equal(found.watch, 'progress');
  });

  it('count what locks and elections store', () => {
    rewrite('LockRequest', { name: 'l', lease: 1n });
    assert.deepEqual([found.puts, found.storedBytes], [1, prefix.length + 1 + 17]);
    rewrite('LockRequest', { lease: 1n });
    assert.equal(found.storedBytes, prefix.length + 17);
    rewrite('CampaignRequest', { name: 'e', lease: 1n, value: 'abc' });
    assert.deepEqual([found.puts, found.storedBytes], [1, prefix.length + 1 + 17 + 3]);
    rewrite('ProclaimRequest', { leader: { name: 'e', key: 'e/1', lease: 1n }, value: 'abc' });
    assert.deepEqual([found.puts, found.storedBytes], [1, prefix.length + 3 + 3]);
    rewrite('UnlockRequest', { key: 'l/1' });
    assert.deepEqual([found.deletes, found.writes], [1, true]);
  });
});
