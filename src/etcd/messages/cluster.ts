import type { MessageDefinitions } from './definition.js';

/** Messages of etcd's Cluster service (rpc.proto). */
export const clusterMessages = {
  Member: {
    ID: [1, 'uint64'],
    name: [2, 'string'],
    peerURLs: [3, 'string', 'repeated'],
    clientURLs: [4, 'string', 'repeated'],
    isLearner: [5, 'bool'],
  },
  MemberAddRequest: {
    peerURLs: [1, 'string', 'repeated'],
    isLearner: [2, 'bool'],
  },
  MemberAddResponse: {
    header: [1, 'ResponseHeader'],
    member: [2, 'Member'],
    members: [3, 'Member', 'repeated'],
  },
  MemberRemoveRequest: {
    ID: [1, 'uint64'],
  },
  MemberRemoveResponse: {
    header: [1, 'ResponseHeader'],
    members: [2, 'Member', 'repeated'],
  },
  MemberUpdateRequest: {
    ID: [1, 'uint64'],
    peerURLs: [2, 'string', 'repeated'],
  },
  MemberUpdateResponse: {
    header: [1, 'ResponseHeader'],
    members: [2, 'Member', 'repeated'],
  },
  MemberListRequest: {
    linearizable: [1, 'bool'],
  },
  MemberListResponse: {
    header: [1, 'ResponseHeader'],
    members: [2, 'Member', 'repeated'],
  },
  MemberPromoteRequest: {
    ID: [1, 'uint64'],
  },
  MemberPromoteResponse: {
    header: [1, 'ResponseHeader'],
    members: [2, 'Member', 'repeated'],
  },
} as const satisfies MessageDefinitions;
