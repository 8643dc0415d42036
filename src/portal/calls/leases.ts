import { randomInt } from 'node:crypto';
import { codecOf } from '../../etcd/messages/codec.js';
import type { Findings } from '../rewriter/findings.js';
import type { AllowedCall } from '../table/lookup.js';

const timeToLive = codecOf('LeaseTimeToLiveResponse');

/** The lower half of a new lease's id: 1 to 2^32 - 1, at random, so that portals need not agree. */
export function chooseLease(): number {
  return randomInt(1, 2 ** 32);
}

const TAKE_NEW_LEASE = new Set(['LeaseGrant', 'Lock', 'Campaign', 'Proclaim', 'Resign']);

/** Whether a call can leave the choice of a lease to etcd. */
export function takesNewLease({ name }: Pick<AllowedCall, 'name'>): boolean {
  return TAKE_NEW_LEASE.has(name);
}

/** A lease as the tenant wrote it, which can't be one of its own. */
export interface UnknownLease {
  readonly high: number;
  readonly low: number;
}

export function unknownLeaseOf(found: Findings): UnknownLease | undefined {
  return found.unknownLease ? { high: found.unknownLeaseHigh, low: found.unknownLeaseLow } : undefined;
}

const grant = codecOf('LeaseGrantRequest');
const revocation = codecOf('LeaseRevokeRequest');
/** What etcd gives the lease of a lock or a candidate, in seconds (client/v3/concurrency). */
export const SESSION_TTL = 60;

/** The request for a session's lease. */
export function sessionGrant(leaseTag: number, lease: number): Uint8Array {
  return grant.encode({ ID: idInCluster(leaseTag, lease), TTL: SESSION_TTL });
}

export function sessionRevocation(leaseTag: number, lease: number): Uint8Array {
  return revocation.encode({ ID: idInCluster(leaseTag, lease) });
}

function idInCluster(leaseTag: number, lease: number): string {
  return String((BigInt(leaseTag) << 32n) | BigInt(lease));
}

/** The id as an int64 in decimal. */
export function idOf({ high, low }: UnknownLease): string {
  return String((BigInt(high) << 32n) | BigInt(low >>> 0));
}

/** Puts the id that the tenant asked for into the answer about a lease that does not exist. */
export function namingLease(stripped: Buffer, lease: UnknownLease): Buffer {
  return Buffer.from(timeToLive.encode({ ...timeToLive.decode(stripped), ID: idOf(lease) }));
}
