import { hash } from 'node:crypto';
import { MAX_LEASE_TAG } from '../rewriter/scope.js';

/** Where a tenant's keys are, as the rewriter takes it. */
export interface Scope {
  readonly prefix: Buffer;
  /** The end of the range of all keys with this prefix. */
  readonly prefixEnd: Buffer;
  /** 31 bits: the upper half of the ids that the key space's leases have in etcd. */
  readonly leaseTag: number;
}

/** A key space with the revision that decides who came first. */
export interface TagClaim {
  readonly prefix: string;
  readonly leaseTag: number;
  readonly createRevision: number;
}

/** One key space: all bindings that use it share this object. */
export class KeySpace implements TagClaim {
  /** False when an older key space has the same lease tag: then all lease calls of this one are refused. */
  ownsLeaseTag = true;
  /** Bindings that use it now. */
  uses = 0;
  #scope: Scope | undefined;

  /**
   * @param prefix ends with `/`, see `broker/tenant-prefix.ts`
   * @param createRevision of its instance's record
   */
  constructor(
    readonly prefix: string,
    readonly createRevision: number,
    readonly leaseTag = leaseTagOf(prefix),
  ) {}

  /** Made at the first need, since most key spaces of a large cluster are idle at a given portal. */
  get scope(): Scope {
    this.#scope ??= scopeOf(this.prefix, this.leaseTag);
    return this.#scope;
  }
}

/** Both texts in memory of their own: a piece of Node's shared pool would keep 8 KB of others' data alive. */
function scopeOf(text: string, leaseTag: number): Scope {
  const { length } = text;
  const bytes = Buffer.alloc(2 * length);
  bytes.write(text, 0, 'latin1');
  bytes.write(text, length, 'latin1');
  bytes[2 * length - 1] = '/'.charCodeAt(0) + 1;
  return { prefix: bytes.subarray(0, length), prefixEnd: bytes.subarray(length), leaseTag };
}

/** The first 31 bits of the SHA-256 of a prefix, kept within the tags that there are. */
export function leaseTagOf(prefix: string): number {
  const bits = hash('sha256', Buffer.from(prefix, 'latin1'), 'buffer').readUInt32BE(0) >>> 1;
  return Math.min(Math.max(bits, 1), MAX_LEASE_TAG);
}

/**
 * Whether one key space goes before another that has the same lease tag: the older one, and of two of the same age the
 * one whose prefix sorts first. Every portal comes to the same answer from the records alone.
 */
export function ownsTagBefore(one: TagClaim, other: TagClaim): boolean {
  return one.createRevision === other.createRevision
    ? one.prefix < other.prefix
    : one.createRevision < other.createRevision;
}

/** The one of several claims to the same lease tag that owns it. @param claims at least one */
export function ownerOfTag<C extends TagClaim>(claims: Iterable<C>): C {
  let owner: C | undefined;
  for (const claim of claims) {
    if (owner === undefined || ownsTagBefore(claim, owner)) {
      owner = claim;
    }
  }
  if (owner === undefined) {
    throw new RangeError('A lease tag without a claim has no owner.');
  }
  return owner;
}
