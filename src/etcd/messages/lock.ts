import type { MessageDefinitions } from './definition.js';

/** Messages of etcd's Lock service (v3lock.proto). */
export const lockMessages = {
  LockRequest: {
    name: [1, 'bytes'],
    lease: [2, 'int64'],
  },
  LockResponse: {
    header: [1, 'ResponseHeader'],
    key: [2, 'bytes'],
  },
  UnlockRequest: {
    key: [1, 'bytes'],
  },
  UnlockResponse: {
    header: [1, 'ResponseHeader'],
  },
} as const satisfies MessageDefinitions;
