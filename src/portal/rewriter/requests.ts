import { Op } from '../table/ops.js';
import type { MessageRule } from '../table/rules.js';
import { Findings } from './findings.js';
import { refusals } from './refusal.js';
import type { Scope } from './scope.js';
import { Walker } from './walk.js';
import { BYTES, VARINT } from './wire.js';

/** Compares and operations in one request, all levels of nesting together. Etcd's own bound is 128 a level and kind. */
export const MAX_OPERATIONS = 8192;

/** How much larger a request may become: a whole copy of itself and this, in bytes. */
export const MAX_GROWTH = 64 * 1024;

/**
 * What etcd puts behind the name of a lock or an election: `/` and a lease in at most 16 hex digits. That lease is the
 * cluster's id, tag included, and stays in the key as the tenant sees it: a key must mean the same in Unlock, in Get
 * and in a watch, and any key may end in hex digits. The tag is no secret. Whatever id a tenant names gets the tenant's
 * own tag, so knowing another's leads nowhere.
 */
const LOCK_SUFFIX = 17;
const KEY_TAG = 0x0a;
const NAME_TAG = 0x0a;

class RequestWalker extends Walker {
  private found = new Findings();
  private newLease = 0;

  rewrite(rule: MessageRule, message: Buffer, scope: Scope, found: Findings, newLease: number): Buffer {
    found.reset();
    this.found = found;
    this.newLease = newLease;
    return this.run(rule, message, scope);
  }

  protected override enter(rule: MessageRule, depth: number): void {
    if (rule.name === 'RequestOp' || rule.name === 'Compare') {
      if (++this.found.operations > MAX_OPERATIONS) throw refusals.tooManyOperations;
      if (this.plan.size > 2 * this.buffer.length + MAX_GROWTH) throw refusals.tooLarge;
    }
    if (depth > this.found.nesting) this.found.nesting = depth;
    if (rule.name === 'WatchCreateRequest') this.found.watch = 'create';
    else if (rule.name === 'WatchCancelRequest') this.found.watch = 'cancel';
    else if (rule.name === 'WatchProgressRequest') this.found.watch = 'progress';
  }

  protected override special(op: Op, rule: MessageRule, tag: number, start: number, end: number): boolean {
    switch (op) {
      case Op.Key:
      case Op.Keys:
      case Op.WatchKey:
      case Op.RangeEnd:
      case Op.Name:
      case Op.Value:
        if ((tag & 7) !== BYTES) throw refusals.wireType;
        return this.bytes(op, rule, tag, start, this.length(end));
      default:
        if ((tag & 7) !== VARINT) throw refusals.wireType;
        this.varint(end);
        this.integer(op, tag, start);
        return true;
    }
  }

  private bytes(op: Op, rule: MessageRule, tag: number, start: number, length: number): boolean {
    const from = this.position;
    this.position = from + length;
    if (op === Op.Value) {
      this.found.storedBytes += length;
      this.plan.copy(start, this.position);
      return true;
    }
    // An empty field is an absent one. `finish` does what that means for the message.
    if (length === 0) return false;
    const prefixLength = this.scope.prefix.length;
    if (op === Op.RangeEnd && length === 1 && this.buffer[from] === 0) {
      this.plan.prefixEnd(tag, prefixLength);
      return true;
    }
    if (op !== Op.RangeEnd) {
      if (rule.effect === 'put') this.found.storedBytes += prefixLength + length;
      else if (rule.effect === 'leader' && op === Op.Key) this.found.storedBytes += prefixLength + length;
    }
    this.plan.prefixed(tag, length, prefixLength);
    this.plan.copy(from, this.position);
    return true;
  }

  private integer(op: Op, tag: number, start: number): void {
    const id = this.low >>> 0;
    const inRange = this.high === 0;
    switch (op) {
      case Op.Revision:
        this.revision();
        this.plan.copy(start, this.position);
        return;
      case Op.WatchId:
        this.found.watchId = this.high * 0x1_0000_0000 + id;
        this.plan.copy(start, this.position);
        return;
      case Op.Lease:
        if (id !== 0 || !inRange) this.plan.lease(tag, this.ownLease());
        return;
      case Op.ComparedLease:
        // 0 and negative ids stand below all leases as they are, for the tenant and in the cluster.
        if (this.high < 0 || (inRange && id === 0)) this.plan.copy(start, this.position);
        else if (inRange) this.plan.lease(tag, id);
        else this.plan.aboveLeases(tag);
        return;
      case Op.SessionLease:
        this.plan.lease(tag, id === 0 && inRange ? this.takeNewLease() : this.ownLease());
        return;
      case Op.NewLease:
        if (!inRange) throw refusals.leaseId;
        this.plan.lease(tag, id === 0 ? this.takeNewLease() : this.ownLease());
        return;
      default:
        throw new Error(`No request has a field of kind ${Op[op]}`);
    }
  }

  /** The lower half of the lease's id in the cluster: 0, which no lease has, for one that the tenant can't have. */
  private ownLease(): number {
    this.found.leases++;
    if (this.high === 0) {
      this.found.lease = this.low >>> 0;
      return this.low;
    }
    this.found.unknownLease = true;
    this.found.unknownLeaseHigh = this.high;
    this.found.unknownLeaseLow = this.low;
    return 0;
  }

  private takeNewLease(): number {
    if (this.newLease === 0)
      throw new Error('A request that can ask for a lease is rewritten with a new lease’s id');
    this.found.leases++;
    this.found.tookNewLease = true;
    this.found.lease = this.newLease >>> 0;
    return this.newLease;
  }

  private revision(): void {
    if (this.high < 0) return;
    const revision = Math.min(this.high * 0x1_0000_0000 + (this.low >>> 0), 2 ** 53);
    const { lowestRevision } = this.found;
    if (revision > 0 && (lowestRevision === 0 || revision < lowestRevision))
      this.found.lowestRevision = revision;
  }

  protected override finish(rule: MessageRule, seen: number, present: number): void {
    if (rule.keyBit !== 0 && (present & rule.keyBit) === 0) {
      if (rule.name === 'UnlockRequest' || rule.name === 'LeaderKey') throw refusals.emptyLockKey;
      if (!rule.keyMayBeEmpty) throw refusals.emptyKey;
      this.plan.smallestKey(KEY_TAG, this.scope.prefix.length);
    }
    if (rule.nameBit !== 0 && (present & rule.nameBit) === 0) {
      this.plan.prefixed(NAME_TAG, 0, this.scope.prefix.length);
      if (rule.effect === 'put') this.found.storedBytes += this.scope.prefix.length;
    }
    if (rule.newLeaseBit !== 0 && (present & rule.newLeaseBit) === 0)
      this.plan.lease(rule.newLeaseTag, this.takeNewLease());
    if (rule.oneof !== 0 && (seen & rule.oneof) === 0) throw refusals.keyNotFound;
    switch (rule.effect) {
      case 'put':
        this.found.puts++;
        if (rule.nameBit !== 0) this.found.storedBytes += LOCK_SUFFIX;
        return;
      case 'delete':
        this.found.deletes++;
        return;
      case 'range':
        this.found.ranges++;
        return;
    }
  }
}

const walker = new RequestWalker();

/**
 * Rewrites a tenant's request: the prefix before every key and range, leases of the key space only.
 * @param found What the request does is noted here; it is reset first.
 * @param newLease The lower 32 bits of a lease id that the caller chose at random (not 0), for a request that leaves the
 *   choice to etcd; `found.tookNewLease` says whether it was taken. Wanted by LeaseGrant, Lock and the elections' calls.
 * @throws Refusal when the message is malformed or breaks a rule of etcd's; it goes to the tenant as it is.
 */
export function rewriteRequest(
  rule: MessageRule,
  message: Buffer,
  scope: Scope,
  found: Findings,
  newLease = 0,
): Buffer {
  return walker.rewrite(rule, message, scope, found, newLease);
}
