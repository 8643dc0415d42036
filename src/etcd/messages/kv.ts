import type { MessageDefinitions } from './definition.js';

/** Messages of etcd's KV service (rpc.proto, kv.proto). */
export const kvMessages = {
  ResponseHeader: {
    cluster_id: [1, 'uint64'],
    member_id: [2, 'uint64'],
    revision: [3, 'int64'],
    raft_term: [4, 'uint64'],
  },
  KeyValue: {
    key: [1, 'bytes'],
    create_revision: [2, 'int64'],
    mod_revision: [3, 'int64'],
    version: [4, 'int64'],
    value: [5, 'bytes'],
    lease: [6, 'int64'],
  },
  RangeRequest: {
    key: [1, 'bytes'],
    range_end: [2, 'bytes'],
    limit: [3, 'int64'],
    revision: [4, 'int64'],
    sort_order: [5, 'SortOrder'],
    sort_target: [6, 'SortTarget'],
    serializable: [7, 'bool'],
    keys_only: [8, 'bool'],
    count_only: [9, 'bool'],
    min_mod_revision: [10, 'int64'],
    max_mod_revision: [11, 'int64'],
    min_create_revision: [12, 'int64'],
    max_create_revision: [13, 'int64'],
  },
  RangeResponse: {
    header: [1, 'ResponseHeader'],
    kvs: [2, 'KeyValue', 'repeated'],
    more: [3, 'bool'],
    count: [4, 'int64'],
  },
  RangeStreamResponse: {
    range_response: [1, 'RangeResponse'],
  },
  PutRequest: {
    key: [1, 'bytes'],
    value: [2, 'bytes'],
    lease: [3, 'int64'],
    prev_kv: [4, 'bool'],
    ignore_value: [5, 'bool'],
    ignore_lease: [6, 'bool'],
  },
  PutResponse: {
    header: [1, 'ResponseHeader'],
    prev_kv: [2, 'KeyValue'],
  },
  DeleteRangeRequest: {
    key: [1, 'bytes'],
    range_end: [2, 'bytes'],
    prev_kv: [3, 'bool'],
  },
  DeleteRangeResponse: {
    header: [1, 'ResponseHeader'],
    deleted: [2, 'int64'],
    prev_kvs: [3, 'KeyValue', 'repeated'],
  },
  RequestOp: {
    request_range: [1, 'RangeRequest', 'request'],
    request_put: [2, 'PutRequest', 'request'],
    request_delete_range: [3, 'DeleteRangeRequest', 'request'],
    request_txn: [4, 'TxnRequest', 'request'],
  },
  ResponseOp: {
    response_range: [1, 'RangeResponse', 'response'],
    response_put: [2, 'PutResponse', 'response'],
    response_delete_range: [3, 'DeleteRangeResponse', 'response'],
    response_txn: [4, 'TxnResponse', 'response'],
  },
  Compare: {
    result: [1, 'CompareResult'],
    target: [2, 'CompareTarget'],
    key: [3, 'bytes'],
    version: [4, 'int64', 'target_union'],
    create_revision: [5, 'int64', 'target_union'],
    mod_revision: [6, 'int64', 'target_union'],
    value: [7, 'bytes', 'target_union'],
    lease: [8, 'int64', 'target_union'],
    range_end: [64, 'bytes'],
  },
  TxnRequest: {
    compare: [1, 'Compare', 'repeated'],
    success: [2, 'RequestOp', 'repeated'],
    failure: [3, 'RequestOp', 'repeated'],
  },
  TxnResponse: {
    header: [1, 'ResponseHeader'],
    succeeded: [2, 'bool'],
    responses: [3, 'ResponseOp', 'repeated'],
  },
  CompactionRequest: {
    revision: [1, 'int64'],
    physical: [2, 'bool'],
  },
  CompactionResponse: {
    header: [1, 'ResponseHeader'],
  },
} as const satisfies MessageDefinitions;
