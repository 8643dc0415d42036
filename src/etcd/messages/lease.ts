import type { MessageDefinitions } from './definition.js';

/** Messages of etcd's Lease service (rpc.proto). */
export const leaseMessages = {
  LeaseGrantRequest: {
    TTL: [1, 'int64'],
    ID: [2, 'int64'],
  },
  LeaseGrantResponse: {
    header: [1, 'ResponseHeader'],
    ID: [2, 'int64'],
    TTL: [3, 'int64'],
    error: [4, 'string'],
  },
  LeaseRevokeRequest: {
    ID: [1, 'int64'],
  },
  LeaseRevokeResponse: {
    header: [1, 'ResponseHeader'],
  },
  LeaseKeepAliveRequest: {
    ID: [1, 'int64'],
  },
  LeaseKeepAliveResponse: {
    header: [1, 'ResponseHeader'],
    ID: [2, 'int64'],
    TTL: [3, 'int64'],
  },
  LeaseTimeToLiveRequest: {
    ID: [1, 'int64'],
    keys: [2, 'bool'],
  },
  LeaseTimeToLiveResponse: {
    header: [1, 'ResponseHeader'],
    ID: [2, 'int64'],
    TTL: [3, 'int64'],
    grantedTTL: [4, 'int64'],
    keys: [5, 'bytes', 'repeated'],
  },
  LeaseLeasesRequest: {},
  LeaseStatus: {
    ID: [1, 'int64'],
  },
  LeaseLeasesResponse: {
    header: [1, 'ResponseHeader'],
    leases: [2, 'LeaseStatus', 'repeated'],
  },
} as const satisfies MessageDefinitions;
