// What the rewriter must do, said once more over decoded objects, by names and without its table.
import { headerIdentity, type Scope, scopeOf } from '../../src/portal/rewriter/scope.js';
import type { Plain } from './protobuf.js';

export const prefix = '/d/0123456789abcdef01234567/_0a/';
export const prefixEnd = '/d/0123456789abcdef01234567/_0a0';
export const TAG = 0x5a5a5a5a;
export const NEW_LEASE = 0x87654321;
export const scope: Scope = scopeOf(Buffer.from(prefix), TAG);
export const IDENTITY = { cluster_id: '7', member_id: '18446744073709551615' };
export const withIdentity: Scope = scopeOf(scope.prefix, TAG, headerIdentity(7n, 0xffff_ffff_ffff_ffffn));

type Record_ = { [field: string]: Plain };
type Change = (value: Record_) => Record_;

const base = BigInt(TAG) << 32n;
const MAX = 0xffff_ffffn;

const lease = (id: Plain, zero = '0'): string => {
  const value = BigInt(id as string);
  if (value === 0n) return zero;
  return String(value > 0n && value <= MAX ? base | value : base);
};
const session = (id: Plain): string => lease(id, String(base | BigInt(NEW_LEASE)));
const compared = (id: Plain): string => {
  const value = BigInt(id as string);
  if (value <= 0n) return String(value);
  return String(value <= MAX ? base | value : base + (1n << 32n));
};
const end = (value: Plain): string => (value === '' ? '' : value === '\0' ? prefixEnd : prefix + value);
const map = (value: Plain | undefined, change: Change): Plain =>
  value === null || value === undefined
    ? null
    : Array.isArray(value)
      ? value.map((one) => change(one as Record_))
      : change(value as Record_);

/** Changes the fields of an object that it has (oneofs' absent members and absent messages are not there). */
function change(value: Record_, changes: { [field: string]: (value: Plain) => Plain }): Record_ {
  const result = { ...value };
  for (const [field, one] of Object.entries(changes)) {
    const old = result[field];
    if (old !== undefined && old !== null) result[field] = one(old);
  }
  return result;
}

const key = (value: Plain): Plain => prefix + value;
const range: Change = (value) => change(value, { key, range_end: end });
const put: Change = (value) => change(value, { key, lease: (id) => lease(id) });
const leader: Change = (value) => change(value, { name: key, key, lease: session });
const requestOp: Change = (value) =>
  change(value, {
    request_range: (one) => map(one, range),
    request_put: (one) => map(one, put),
    request_delete_range: (one) => map(one, range),
    request_txn: (one) => map(one, txn),
  });
const txn: Change = (value) =>
  change(value, {
    compare: (all) => map(all, (one) => change(range(one), { lease: compared })),
    success: (all) => map(all, requestOp),
    failure: (all) => map(all, requestOp),
  });
const named: Change = (value) => change(value, { name: key, lease: session });
const byLease: Change = (value) => change(value, { ID: (id) => lease(id) });

/** From the tenant's request to etcd's. */
export const requestModel: { [message: string]: Change } = {
  RangeRequest: range,
  PutRequest: put,
  DeleteRangeRequest: range,
  TxnRequest: txn,
  WatchRequest: (value) =>
    change(value, {
      create_request: (one) =>
        map(one, (create) => range({ ...create, key: create.key === '' ? '\0' : (create.key ?? '') })),
    }),
  LeaseGrantRequest: (value) => change(value, { ID: session }),
  LeaseRevokeRequest: byLease,
  LeaseKeepAliveRequest: byLease,
  LeaseTimeToLiveRequest: byLease,
  LeaseLeasesRequest: (value) => value,
  LockRequest: named,
  UnlockRequest: range,
  CampaignRequest: named,
  LeaderRequest: named,
  ResignRequest: (value) => change(value, { leader: (one) => map(one, leader) }),
  ProclaimRequest: (value) => change(value, { leader: (one) => map(one, leader) }),
};

export class Foreign extends Error {}

const strip =
  (emptyAllowed: boolean) =>
  (value: Plain): Plain => {
    const text = value as string;
    if (!text.startsWith(prefix) || (text === prefix && !emptyAllowed)) throw new Foreign();
    return text.slice(prefix.length);
  };
const outside = (id: Plain): Plain => {
  const value = BigInt(id as string);
  return value >> 32n === BigInt(TAG) ? String(value & MAX) : '0';
};
const own = (id: Plain): Plain => {
  if (outside(id) === '0' && id !== '0' && BigInt(id as string) >> 32n !== BigInt(TAG)) throw new Foreign();
  return outside(id);
};
const keyValue: Change = (value) => change(value, { key: strip(false), lease: outside });
const kvs = (value: Plain): Plain => map(value, keyValue);
const responseOp: Change = (value) =>
  change(value, {
    response_range: (one) => map(one, everything),
    response_put: (one) => map(one, everything),
    response_delete_range: (one) => map(one, everything),
    response_txn: (one) => map(one, everything),
  });

/** From etcd's response to the tenant's. @throws Foreign when it holds what is not the tenant's. */
const everything: Change = (value) =>
  change(value, {
    kvs,
    prev_kvs: kvs,
    prev_kv: kvs,
    kv: kvs,
    responses: (all) => map(all, responseOp),
    range_response: (one) => map(one, everything),
    events: (all) => map(all, (event) => change(event, { kv: kvs, prev_kv: kvs })),
  });

export function responseModel(name: string, value: Record_): Record_ {
  switch (name) {
    case 'LeaseTimeToLiveResponse':
      return change(value, { ID: own, keys: (all) => (all as Plain[]).map(strip(false)) });
    case 'LeaseGrantResponse':
    case 'LeaseKeepAliveResponse':
      return change(value, { ID: own });
    case 'LeaseLeasesResponse':
      return change(value, {
        leases: (all) =>
          (all as Record_[]).map((one) => change(one, { ID: outside })).filter((one) => one.ID !== '0'),
      });
    case 'LockResponse':
      return change(value, { key: strip(false) });
    case 'CampaignResponse':
      return change(value, {
        leader: (one) => map(one, (it) => change(it, { name: strip(true), key: strip(false), lease: own })),
      });
    default:
      return everything(value);
  }
}
