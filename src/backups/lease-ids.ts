import { leaseTagOf } from '../portal/tenants/key-space.js';

/** Applications know the lower half; the upper one says whose it is, see docs/PORTAL.md. */
const LOW_BITS = 32n;
const LOW = (1n << LOW_BITS) - 1n;

/** The lease ids of one key space. */
export class LeaseIds {
  readonly tag: bigint;

  /** @param prefix the key space's */
  constructor(prefix: string) {
    this.tag = BigInt(leaseTagOf(prefix));
  }

  static tagIn(inEtcd: bigint): bigint {
    return inEtcd >> LOW_BITS;
  }

  /** Whether it was granted through a portal, to this key space. */
  owns(inEtcd: bigint): boolean {
    return LeaseIds.tagIn(inEtcd) === this.tag && (inEtcd & LOW) !== 0n;
  }

  /** The id in a backup: as applications know it, or as it is where no portal granted it. */
  toBackup(inEtcd: bigint): bigint {
    return inEtcd !== 0n && this.owns(inEtcd) ? inEtcd & LOW : inEtcd;
  }

  /** The id in etcd of what a backup holds; undefined for one that no portal granted, which gets another. */
  toEtcd(inBackup: bigint): bigint | undefined {
    return inBackup <= LOW ? (this.tag << LOW_BITS) | inBackup : undefined;
  }
}
