/** The first thing in a backup: what it is of, and of when. */
export interface BackupHeader {
  readonly format: 1;
  /** 24 hexadecimal digits. */
  readonly backup_id: string;
  readonly deployment_id: string;
  readonly instance_id: string;
  readonly service_id: string;
  readonly plan_id: string;
  /** Of the cluster: everything is as it was at this revision. A decimal number as text. */
  readonly revision: string;
  readonly etcd_version: string;
  readonly created_at: string;
}

/** What follows is in the key space of this name, until the next one. */
export interface KeySpaceRecord {
  readonly type: 'key space';
  readonly name: string;
}

/** Comes before the first key that hangs on it. */
export interface LeaseRecord {
  readonly type: 'lease';
  /** As applications know it. */
  readonly id: bigint;
  /** In seconds. 0 where it had run out when it was asked for. */
  readonly remaining: number;
  readonly granted: number;
}

export interface KeyRecord {
  readonly type: 'key';
  /** Without the prefix of its key space. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** 0 for none. */
  readonly lease: bigint;
}

export type BackupRecord = KeySpaceRecord | LeaseRecord | KeyRecord;

/** How much of each there is. */
export interface BackupCounts {
  readonly key_spaces: number;
  readonly leases: number;
  readonly keys: number;
  /** Of keys and values. */
  readonly bytes: number;
}

/** The last thing in a backup. */
export interface BackupTrailer extends BackupCounts {
  /** Over all frames before the trailer's, in hexadecimal. */
  readonly sha256: string;
}

/** A backup is not what was written. The text says what is wrong, for the person who wants it restored. */
export class BackupDamaged extends Error {
  override readonly name = 'BackupDamaged';
}
