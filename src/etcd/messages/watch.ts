import type { MessageDefinitions } from './definition.js';

/** Messages of etcd's Watch service (rpc.proto, kv.proto). */
export const watchMessages = {
  Event: {
    type: [1, 'EventType'],
    kv: [2, 'KeyValue'],
    prev_kv: [3, 'KeyValue'],
  },
  WatchRequest: {
    create_request: [1, 'WatchCreateRequest', 'request_union'],
    cancel_request: [2, 'WatchCancelRequest', 'request_union'],
    progress_request: [3, 'WatchProgressRequest', 'request_union'],
  },
  WatchCreateRequest: {
    key: [1, 'bytes'],
    range_end: [2, 'bytes'],
    start_revision: [3, 'int64'],
    progress_notify: [4, 'bool'],
    filters: [5, 'FilterType', 'repeated'],
    prev_kv: [6, 'bool'],
    watch_id: [7, 'int64'],
    fragment: [8, 'bool'],
  },
  WatchCancelRequest: {
    watch_id: [1, 'int64'],
  },
  WatchProgressRequest: {},
  WatchResponse: {
    header: [1, 'ResponseHeader'],
    watch_id: [2, 'int64'],
    created: [3, 'bool'],
    canceled: [4, 'bool'],
    compact_revision: [5, 'int64'],
    cancel_reason: [6, 'string'],
    fragment: [7, 'bool'],
    events: [11, 'Event', 'repeated'],
  },
} as const satisfies MessageDefinitions;
