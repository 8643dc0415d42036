import { type Codec, codecOf } from './messages/codec.js';
import { type CallDefinition, services } from './messages/services.js';

/** One of etcd's calls, as it goes over the wire. */
export interface EtcdCall {
  /** As metrics and logs name it: etcd3's name of the method, e.g. `leaseGrant`. */
  method: string;
  /** e.g. `/etcdserverpb.Lease/LeaseGrant` */
  path: string;
  request: Codec;
  response: { decode(bytes: Uint8Array): unknown };
}

type TypedCall = EtcdCall & { response: Codec };

const byPath = new Map<string, TypedCall>();
/** By etcd3's names, e.g. `Lease.leaseGrant`. */
const byName = new Map<string, TypedCall>();

for (const [service, calls] of Object.entries(services)) {
  for (const [name, [request, response]] of Object.entries<CallDefinition>(calls)) {
    const method = `${name[0]?.toLowerCase()}${name.slice(1)}`;
    const path = `/${service}/${name}`;
    const call = { method, path, request: codecOf(request), response: codecOf(response) };
    byPath.set(path, call);
    byName.set(`${service.split('.')[1]}.${method}`, call);
  }
}

/** A call by the names that etcd3's typed clients use: `KV` and `range`. */
export function callNamed(service: string, method: string): TypedCall {
  return known(byName.get(`${service}.${method}`), `${service}.${method}`);
}

/** A call by its path. */
export function callAt(path: string): TypedCall {
  return known(byPath.get(path), path);
}

function known(call: TypedCall | undefined, name: string): TypedCall {
  if (call === undefined) {
    throw new TypeError(`etcd has no call ${name}`);
  }
  return call;
}

const ACCESS_CHANGE =
  /^(user|role)(Add|Delete|ChangePassword|GrantRole|RevokeRole|GrantPermission|RevokePermission)$/;

/** Whether a call changes users or roles, so that one whose answer was lost may leave some behind. */
export function isAccessChange(method: string): boolean {
  return ACCESS_CHANGE.test(method);
}

/** Calls that do more, or fail, when they are applied twice. */
const ONLY_ONCE: ReadonlySet<string> = new Set([
  'memberAdd',
  'memberRemove',
  'memberUpdate',
  'memberPromote',
  'moveLeader',
  'defragment',
  'downgrade',
]);

/**
 * Whether a call may be sent again although etcd may have applied it. Callers send puts, deletions and transactions
 * that come to the same when they are applied twice. A lease is granted twice unless the caller chose its id.
 */
export function isSafeToRepeat(method: string, request: unknown): boolean {
  if (method === 'leaseGrant') {
    const { ID } = request as { ID?: string | number };
    return ID !== undefined && String(ID) !== '0';
  }
  return !ONLY_ONCE.has(method);
}
