/** A key space as the rewriter needs it. Shared by all its bindings; made once. */
export interface Scope {
  /** What stands before each key; ends with `/`. */
  readonly prefix: Buffer;
  /** The first key after all that begin with the prefix. */
  readonly prefixEnd: Buffer;
  /** The upper half of the key space's lease ids, 1 … 2^31 - 2. */
  readonly leaseTag: number;
  /** Fields 1 and 2 of each response's header (`headerIdentity`), in place of etcd's own; absent: etcd's own pass. */
  readonly identity?: Buffer;
}

/** The greatest lease tag: one below the largest, so that there is an id above all that carry a tag. */
export const MAX_LEASE_TAG = 0x7ffffffe;

/**
 * Makes a scope.
 * @throws RangeError when the prefix does not end with `/` or the tag is outside 1 … 2^31 - 2.
 */
export function scopeOf(prefix: Buffer, leaseTag: number, identity?: Buffer): Scope {
  if (prefix.length < 2 || prefix.at(-1) !== 0x2f) throw new RangeError('A key space’s prefix ends with "/"');
  if (!Number.isInteger(leaseTag) || leaseTag < 1 || leaseTag > MAX_LEASE_TAG)
    throw new RangeError('A lease tag is a whole number from 1 to 2^31 - 2');
  const prefixEnd = Buffer.from(prefix);
  prefixEnd[prefixEnd.length - 1] = 0x30;
  const scope = { prefix: Buffer.from(prefix), prefixEnd, leaseTag };
  return identity === undefined ? scope : { ...scope, identity };
}

/** Fields 1 and 2 of a ResponseHeader, encoded: the cluster's and the member's ids that a portal shows. */
export function headerIdentity(clusterId: bigint, memberId: bigint): Buffer {
  return Buffer.from([0x08, ...varint(clusterId), 0x10, ...varint(memberId)]);
}

function varint(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  return [...bytes, Number(rest)];
}
