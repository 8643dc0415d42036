import type { MessageDefinitions } from './definition.js';

/** Messages of etcd's Election service (v3election.proto). */
export const electionMessages = {
  CampaignRequest: {
    name: [1, 'bytes'],
    lease: [2, 'int64'],
    value: [3, 'bytes'],
  },
  CampaignResponse: {
    header: [1, 'ResponseHeader'],
    leader: [2, 'LeaderKey'],
  },
  LeaderKey: {
    name: [1, 'bytes'],
    key: [2, 'bytes'],
    rev: [3, 'int64'],
    lease: [4, 'int64'],
  },
  LeaderRequest: {
    name: [1, 'bytes'],
  },
  LeaderResponse: {
    header: [1, 'ResponseHeader'],
    kv: [2, 'KeyValue'],
  },
  ResignRequest: {
    leader: [1, 'LeaderKey'],
  },
  ResignResponse: {
    header: [1, 'ResponseHeader'],
  },
  ProclaimRequest: {
    leader: [1, 'LeaderKey'],
    value: [2, 'bytes'],
  },
  ProclaimResponse: {
    header: [1, 'ResponseHeader'],
  },
} as const satisfies MessageDefinitions;
