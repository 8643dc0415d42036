/** How many messages go each way in a call. */
export type CallKind = 'unary' | 'server stream' | 'bidirectional';

/** A call of etcd's: the names of its request and its response, and its kind. */
export type CallDefinition = readonly [request: string, response: string, kind: CallKind];

/** Every call that etcd serves on its client port, by package and service, then by name (etcd 3.4 to 3.7). */
export const services = {
  'etcdserverpb.KV': {
    Range: ['RangeRequest', 'RangeResponse', 'unary'],
    RangeStream: ['RangeRequest', 'RangeStreamResponse', 'server stream'],
    Put: ['PutRequest', 'PutResponse', 'unary'],
    DeleteRange: ['DeleteRangeRequest', 'DeleteRangeResponse', 'unary'],
    Txn: ['TxnRequest', 'TxnResponse', 'unary'],
    Compact: ['CompactionRequest', 'CompactionResponse', 'unary'],
  },
  'etcdserverpb.Watch': {
    Watch: ['WatchRequest', 'WatchResponse', 'bidirectional'],
  },
  'etcdserverpb.Lease': {
    LeaseGrant: ['LeaseGrantRequest', 'LeaseGrantResponse', 'unary'],
    LeaseRevoke: ['LeaseRevokeRequest', 'LeaseRevokeResponse', 'unary'],
    LeaseKeepAlive: ['LeaseKeepAliveRequest', 'LeaseKeepAliveResponse', 'bidirectional'],
    LeaseTimeToLive: ['LeaseTimeToLiveRequest', 'LeaseTimeToLiveResponse', 'unary'],
    LeaseLeases: ['LeaseLeasesRequest', 'LeaseLeasesResponse', 'unary'],
  },
  'etcdserverpb.Cluster': {
    MemberAdd: ['MemberAddRequest', 'MemberAddResponse', 'unary'],
    MemberRemove: ['MemberRemoveRequest', 'MemberRemoveResponse', 'unary'],
    MemberUpdate: ['MemberUpdateRequest', 'MemberUpdateResponse', 'unary'],
    MemberList: ['MemberListRequest', 'MemberListResponse', 'unary'],
    MemberPromote: ['MemberPromoteRequest', 'MemberPromoteResponse', 'unary'],
  },
  'etcdserverpb.Maintenance': {
    Alarm: ['AlarmRequest', 'AlarmResponse', 'unary'],
    Status: ['StatusRequest', 'StatusResponse', 'unary'],
    Defragment: ['DefragmentRequest', 'DefragmentResponse', 'unary'],
    Hash: ['HashRequest', 'HashResponse', 'unary'],
    HashKV: ['HashKVRequest', 'HashKVResponse', 'unary'],
    Snapshot: ['SnapshotRequest', 'SnapshotResponse', 'server stream'],
    MoveLeader: ['MoveLeaderRequest', 'MoveLeaderResponse', 'unary'],
    Downgrade: ['DowngradeRequest', 'DowngradeResponse', 'unary'],
  },
  'etcdserverpb.Auth': {
    AuthEnable: ['AuthEnableRequest', 'AuthEnableResponse', 'unary'],
    AuthDisable: ['AuthDisableRequest', 'AuthDisableResponse', 'unary'],
    AuthStatus: ['AuthStatusRequest', 'AuthStatusResponse', 'unary'],
    Authenticate: ['AuthenticateRequest', 'AuthenticateResponse', 'unary'],
    UserAdd: ['AuthUserAddRequest', 'AuthUserAddResponse', 'unary'],
    UserGet: ['AuthUserGetRequest', 'AuthUserGetResponse', 'unary'],
    UserList: ['AuthUserListRequest', 'AuthUserListResponse', 'unary'],
    UserDelete: ['AuthUserDeleteRequest', 'AuthUserDeleteResponse', 'unary'],
    UserChangePassword: ['AuthUserChangePasswordRequest', 'AuthUserChangePasswordResponse', 'unary'],
    UserGrantRole: ['AuthUserGrantRoleRequest', 'AuthUserGrantRoleResponse', 'unary'],
    UserRevokeRole: ['AuthUserRevokeRoleRequest', 'AuthUserRevokeRoleResponse', 'unary'],
    RoleAdd: ['AuthRoleAddRequest', 'AuthRoleAddResponse', 'unary'],
    RoleGet: ['AuthRoleGetRequest', 'AuthRoleGetResponse', 'unary'],
    RoleList: ['AuthRoleListRequest', 'AuthRoleListResponse', 'unary'],
    RoleDelete: ['AuthRoleDeleteRequest', 'AuthRoleDeleteResponse', 'unary'],
    RoleGrantPermission: ['AuthRoleGrantPermissionRequest', 'AuthRoleGrantPermissionResponse', 'unary'],
    RoleRevokePermission: ['AuthRoleRevokePermissionRequest', 'AuthRoleRevokePermissionResponse', 'unary'],
  },
  'v3lockpb.Lock': {
    Lock: ['LockRequest', 'LockResponse', 'unary'],
    Unlock: ['UnlockRequest', 'UnlockResponse', 'unary'],
  },
  'v3electionpb.Election': {
    Campaign: ['CampaignRequest', 'CampaignResponse', 'unary'],
    Proclaim: ['ProclaimRequest', 'ProclaimResponse', 'unary'],
    Leader: ['LeaderRequest', 'LeaderResponse', 'unary'],
    Observe: ['LeaderRequest', 'LeaderResponse', 'server stream'],
    Resign: ['ResignRequest', 'ResignResponse', 'unary'],
  },
} as const satisfies { readonly [service: string]: { readonly [call: string]: CallDefinition } };
