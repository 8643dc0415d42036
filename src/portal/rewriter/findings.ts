/** What a request does, as its rewriting found. One object is used again and again: `rewriteRequest` resets it. */
export class Findings {
  /** Keys (with their prefix) and values that puts store, in bytes, whichever branch of a transaction they are in. */
  storedBytes = 0;
  puts = 0;
  deletes = 0;
  ranges = 0;
  /** Compares and operations of a transaction, nested ones included. */
  operations = 0;
  /** How deep transactions are nested; 0 for none and for a flat one. */
  nesting = 0;
  /** The lowest revision above 0 to read or to watch from, 0 when there is none; at most 2^53 (saturated). */
  lowestRevision = 0;
  /** How many leases are named, and the last of them (the tenant's id, 32 bits). */
  leases = 0;
  lease = 0;
  /** The caller's `newLease` was put in: in LeaseGrant it is granted, for locks and elections the portal grants it first. */
  tookNewLease = false;
  /**
   * A lease was named that no tenant can have. The message names one instead that never exists, so etcd answers as for
   * an unknown lease, but for the id that its answer repeats: `unknownLeaseHigh` and `unknownLeaseLow` are the two
   * halves of what the tenant wrote.
   */
  unknownLease = false;
  unknownLeaseHigh = 0;
  unknownLeaseLow = 0;
  /** What a WatchRequest asks for; `''` when it is empty (etcd ignores such a one). */
  watch: '' | 'create' | 'cancel' | 'progress' = '';
  /** The watch id of a creation (0: etcd chooses) or a cancellation; exact up to 2^53. */
  watchId = 0;

  /** Whether it changes the store, for `readonly` bindings and calls that write `by content`. */
  get writes(): boolean {
    return this.puts + this.deletes > 0;
  }

  reset(): void {
    this.storedBytes = 0;
    this.puts = 0;
    this.deletes = 0;
    this.ranges = 0;
    this.operations = 0;
    this.nesting = 0;
    this.lowestRevision = 0;
    this.leases = 0;
    this.lease = 0;
    this.tookNewLease = false;
    this.unknownLease = false;
    this.unknownLeaseHigh = 0;
    this.unknownLeaseLow = 0;
    this.watch = '';
    this.watchId = 0;
  }
}
