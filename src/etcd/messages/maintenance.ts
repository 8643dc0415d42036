import type { MessageDefinitions } from './definition.js';

/** Messages of etcd's Maintenance service (rpc.proto). */
export const maintenanceMessages = {
  AlarmRequest: {
    action: [1, 'AlarmAction'],
    memberID: [2, 'uint64'],
    alarm: [3, 'AlarmType'],
  },
  AlarmMember: {
    memberID: [1, 'uint64'],
    alarm: [2, 'AlarmType'],
  },
  AlarmResponse: {
    header: [1, 'ResponseHeader'],
    alarms: [2, 'AlarmMember', 'repeated'],
  },
  StatusRequest: {},
  StatusResponse: {
    header: [1, 'ResponseHeader'],
    version: [2, 'string'],
    dbSize: [3, 'int64'],
    leader: [4, 'uint64'],
    raftIndex: [5, 'uint64'],
    raftTerm: [6, 'uint64'],
    raftAppliedIndex: [7, 'uint64'],
    errors: [8, 'string', 'repeated'],
    dbSizeInUse: [9, 'int64'],
    isLearner: [10, 'bool'],
    storageVersion: [11, 'string'],
    dbSizeQuota: [12, 'int64'],
    downgradeInfo: [13, 'DowngradeInfo'],
  },
  DowngradeInfo: {
    enabled: [1, 'bool'],
    targetVersion: [2, 'string'],
  },
  DefragmentRequest: {},
  DefragmentResponse: {
    header: [1, 'ResponseHeader'],
  },
  HashRequest: {},
  HashResponse: {
    header: [1, 'ResponseHeader'],
    hash: [2, 'uint32'],
  },
  HashKVRequest: {
    revision: [1, 'int64'],
  },
  HashKVResponse: {
    header: [1, 'ResponseHeader'],
    hash: [2, 'uint32'],
    compact_revision: [3, 'int64'],
    hash_revision: [4, 'int64'],
  },
  SnapshotRequest: {},
  SnapshotResponse: {
    header: [1, 'ResponseHeader'],
    remaining_bytes: [2, 'uint64'],
    blob: [3, 'bytes'],
    version: [4, 'string'],
  },
  MoveLeaderRequest: {
    targetID: [1, 'uint64'],
  },
  MoveLeaderResponse: {
    header: [1, 'ResponseHeader'],
  },
  DowngradeRequest: {
    action: [1, 'DowngradeAction'],
    version: [2, 'string'],
  },
  DowngradeResponse: {
    header: [1, 'ResponseHeader'],
    version: [2, 'string'],
  },
} as const satisfies MessageDefinitions;
