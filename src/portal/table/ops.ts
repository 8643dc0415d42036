/** What the rewriter does with a field: the kinds of `kinds.ts`, and plain fields by how they are written. */
export enum Op {
  /** Not known: dropped. */
  Drop = 0,
  Integer,
  Bool,
  Enum,
  Enums,
  Bytes,
  Text,
  Nested,
  Key,
  Keys,
  WatchKey,
  RangeEnd,
  Name,
  Value,
  Lease,
  ComparedLease,
  SessionLease,
  NewLease,
  OwnLease,
  ListedLease,
  Revision,
  WatchId,
  Identity,
}

/** As the highest value of an enumeration: all are allowed. */
export const ANY = 0x7fff_ffff;
