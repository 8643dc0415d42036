import type { services } from '../../etcd/messages/services.js';

/**
 * What the portal does with a call:
 * - `forward`: one message each way, rewritten; `range stream`, `watch`, `keep alive` and `observe`: the same for
 *   streams, each with bookkeeping of its own;
 * - `local`: the portal answers, with or without asking the cluster;
 * - `denied`: PERMISSION_DENIED.
 */
export type Handling = 'forward' | 'range stream' | 'watch' | 'keep alive' | 'observe' | 'local' | 'denied';

/** Whether a `readonly` binding is refused: never, always, or if the transaction holds a put or a deletion. */
export type Writes = 'no' | 'yes' | 'by content';

export type CallTreatment = readonly [handling: Handling, writes: Writes];

const denied = ['denied', 'yes'] as const;

type Treatments = {
  readonly [Service in keyof typeof services]: {
    readonly [Call in keyof (typeof services)[Service]]: CallTreatment;
  };
};

/**
 * Every call of etcd's API and what happens to it. A call that is not here does not exist: UNIMPLEMENTED.
 *
 * A `readonly` binding may not touch leases either: the key space's leases are shared with the bindings that write, so
 * it could end or prolong theirs. Compact hides history from the other bindings, and is a write for that reason.
 * Alarm is local because `etcdctl endpoint health` asks for the list: a list is answered, other actions are denied.
 */
export const calls: Treatments = {
  'etcdserverpb.KV': {
    Range: ['forward', 'no'],
    RangeStream: ['range stream', 'no'],
    Put: ['forward', 'yes'],
    DeleteRange: ['forward', 'yes'],
    Txn: ['forward', 'by content'],
    Compact: ['local', 'yes'],
  },
  'etcdserverpb.Watch': { Watch: ['watch', 'no'] },
  'etcdserverpb.Lease': {
    LeaseGrant: ['forward', 'yes'],
    LeaseRevoke: ['forward', 'yes'],
    LeaseKeepAlive: ['keep alive', 'yes'],
    LeaseTimeToLive: ['forward', 'no'],
    LeaseLeases: ['local', 'no'],
  },
  'etcdserverpb.Cluster': {
    MemberAdd: denied,
    MemberRemove: denied,
    MemberUpdate: denied,
    MemberList: ['local', 'no'],
    MemberPromote: denied,
  },
  'etcdserverpb.Maintenance': {
    Alarm: ['local', 'no'],
    Status: ['local', 'no'],
    Defragment: denied,
    Hash: denied,
    HashKV: denied,
    Snapshot: denied,
    MoveLeader: denied,
    Downgrade: denied,
  },
  'etcdserverpb.Auth': {
    AuthEnable: denied,
    AuthDisable: denied,
    AuthStatus: ['local', 'no'],
    Authenticate: ['local', 'no'],
    UserAdd: denied,
    UserGet: denied,
    UserList: denied,
    UserDelete: denied,
    UserChangePassword: denied,
    UserGrantRole: denied,
    UserRevokeRole: denied,
    RoleAdd: denied,
    RoleGet: denied,
    RoleList: denied,
    RoleDelete: denied,
    RoleGrantPermission: denied,
    RoleRevokePermission: denied,
  },
  'v3lockpb.Lock': { Lock: ['forward', 'yes'], Unlock: ['forward', 'yes'] },
  'v3electionpb.Election': {
    Campaign: ['forward', 'yes'],
    Proclaim: ['forward', 'yes'],
    Leader: ['forward', 'no'],
    Observe: ['observe', 'no'],
    Resign: ['forward', 'yes'],
  },
};
