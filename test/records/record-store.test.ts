import assert from 'node:assert/strict';
import type { ITxnRequest, ITxnResponse } from 'etcd3';
import type { BindingRecord, Stored } from '../../src/broker/model.js';
import { finish, openOperation } from '../../src/broker/operations/operations.js';
import type { EtcdClient } from '../../src/etcd/client.js';
import { EtcdError } from '../../src/etcd/errors.js';
import type { HistoryLease } from '../../src/records/history-lease.js';
import { keys } from '../../src/records/keys.js';
import { RecordStore } from '../../src/records/record-store.js';

describe('Records in an etcd that has no space left', () => {
  const binding = { instance_id: 'i', binding_id: 'b', role: 'd-1', username: 'd-1' } as BindingRecord;
  const stored: Stored<BindingRecord> = { value: binding, revision: '7' };
  const unbind = openOperation('unbind', binding, 'me');

  /** An etcd that refuses to put anything. @returns what it was asked, and the records in it */
  function fullEtcd(): { asked: ITxnRequest[]; records: RecordStore } {
    const asked: ITxnRequest[] = [];
    const txn = async (request: ITxnRequest): Promise<ITxnResponse> => {
      asked.push(request);
      if (request.success?.some((operation) => 'request_put' in operation)) {
        throw new EtcdError('no-space', 'mvcc: database space exceeded');
      }
      return { succeeded: true, responses: [], header: { revision: '8' } } as unknown as ITxnResponse;
    };
    const lease = { current: async () => '1', forget: () => undefined } as HistoryLease;
    const connection = { kv: { txn } } as unknown as EtcdClient;
    const isFull = () => true;
    return { asked, records: new RecordStore(connection, lease, { id: 'me' }, undefined, isFull) };
  }

  it('a removal goes without its history, and nothing goes on saying that it is in progress', async () => {
    const { asked, records } = fullEtcd();
    const place = { instance_id: 'i', binding_id: 'b', expected: stored, next: null };
    const result = await records.change({ binding: place, finished: [finish(unbind, 'succeeded')] });
    assert.deepEqual(result, { done: true, revision: '8' });
    const deleted = asked
      .at(-1)
      ?.success?.map((operation) =>
        'request_delete_range' in operation ? String(operation.request_delete_range?.key) : 'a put',
      );
    const expected = [keys.binding('i', 'b'), keys.openOperation(unbind.id)];
    assert.deepEqual(deleted?.sort(), expected.sort());
  });

  it('everything else is refused', async () => {
    const { records } = fullEtcd();
    const place = { instance_id: 'i', binding_id: 'b', expected: stored, next: binding };
    await assert.rejects(records.change({ binding: place, finished: [unbind] }), { kind: 'no-space' });
    await assert.rejects(records.change({ binding: { ...place, next: null }, opened: unbind }), {
      kind: 'no-space',
    });
  });
});
