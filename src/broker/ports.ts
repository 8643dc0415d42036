import type { Secret } from '../credentials/secret.js';
import type {
  AccessNames,
  BackupSource,
  BindingRecord,
  InstanceRecord,
  OperationRecord,
  Stored,
} from './model.js';

/**
 * What the broker needs of the world around it; `records/`, `clusters/` and `credentials/` fulfil it.
 */

/**
 * One atomic change of records. `expected` is what the decision was made on; when the record has changed since,
 * nothing is written. `next` is the new record, `null` deletes it, and without it the record is only compared.
 */
export interface RecordChange {
  instance?: { id: string; expected: Stored<InstanceRecord> | undefined; next?: InstanceRecord | null };
  binding?: {
    instance_id: string;
    binding_id: string;
    expected: Stored<BindingRecord> | undefined;
    next?: BindingRecord | null;
  };
  /** Comes under way with this change (or changes hands). Its owner's session must live. */
  opened?: OperationRecord;
  /**
   * Until when, on the monotonic clock, the platform waits for a creation. A creation that meets a deletion's mark
   * goes on only while the platform waits; else the deletion has the last word.
   */
  until?: number;
  /** Aborted when the platform has gone away, so that it waits no more. */
  signal?: AbortSignal;
  /** An `app_guid`: nothing is written if the instance has a binding of that application. */
  unlessBound?: string;
  /** End with this change and stay readable for a day. */
  finished?: readonly OperationRecord[];
}

/** `revision` is that of the records written; otherwise both hold what is there instead, undefined for nothing. */
export type ChangeResult = { done: true; revision: string } | RefusedChange;

export interface RefusedChange {
  done: false;
  instance?: Stored<InstanceRecord>;
  binding?: Stored<BindingRecord>;
  /** With `unlessBound`: the ids of the application's bindings, the newest first; left out when there are none. */
  siblings?: readonly string[];
  /** A creation that was overtaken by a deletion. It must not be tried again. */
  overtaken?: true;
}

/** Is told of a record that can't be read; the reading goes on without it. */
export type OnMalformed = (key: string, reason: string) => void;

/** An index by which records are found holds an entry too few, or too many. */
export interface IndexFault {
  kind: 'missing' | 'stray';
  /** The entry's key. */
  key: string;
  value?: unknown;
}

export interface Records {
  readInstance(instanceId: string): Promise<Stored<InstanceRecord> | undefined>;
  readInstanceOfDeployment(deploymentId: string): Promise<Stored<InstanceRecord> | undefined>;
  readBinding(instanceId: string, bindingId: string): Promise<Stored<BindingRecord> | undefined>;
  /** One operation, or the latest finished one of the instance or binding when no id is given. */
  readOperation(
    instanceId: string,
    bindingId?: string,
    operationId?: string,
  ): Promise<OperationRecord | undefined>;
  /** The operations on an instance and its bindings that ended last, the newest first. */
  recentOperations(instanceId: string, limit: number): Promise<OperationRecord[]>;
  /** @throws MalformedRecord unless `onMalformed` is given */
  bindings(instanceId?: string, onMalformed?: OnMalformed): AsyncIterable<Stored<BindingRecord>>;
  change(change: RecordChange): Promise<ChangeResult>;
  /** Deletes a record if it is still there and malformed. */
  dropMalformed(key: string): Promise<void>;
  /**
   * To be called before the platform is told that what it deletes does not exist: a creation that was sent before,
   * and may still be on its way to etcd, comes to nothing then.
   * @returns false when it exists by now
   */
  markGone(instanceId: string, bindingId?: string): Promise<boolean>;
  /**
   * What is under way, and the sessions that live.
   * @throws MalformedRecord unless `onMalformed` is given
   */
  openOperations(
    limit?: number,
    onMalformed?: OnMalformed,
  ): Promise<{ operations: OperationRecord[]; owners: ReadonlySet<string> }>;
  sessionLives(owner: string): Promise<boolean>;
  /** The names of all roles and users that records of a cluster speak of. */
  recordedNames(cluster: string): Promise<ReadonlySet<string>>;
  /** How many bytes of keys and values a deployment held when portals counted last; undefined when none has. */
  storedBytes(deploymentId: string): Promise<number | undefined>;
  /** When the next binding is due to expire, by the cluster's clock in milliseconds; undefined when none is to. */
  nextDue(): Promise<number | undefined>;
  /** Bindings whose time is up by the cluster's clock. */
  dueBindings(nowMs: number): Promise<{ instance_id: string; binding_id: string }[]>;
}

/** The clock that all replicas share, in milliseconds; no wall clock moves it. */
export interface SharedClock {
  now(): Promise<number>;
  /** The same for its keeper, which takes it over if nobody keeps it; undefined when another replica does. */
  tick(nextDueMs: number): Promise<number | undefined>;
  /** Writes it down if this replica keeps it. */
  save(): Promise<void>;
}

/** Called before each single step of several; throws to stop between two of them. */
export type BeforeStep = () => void;

export interface AccessControl {
  /** The names of this broker's roles and users that exist. */
  names(): Promise<{ roles: ReadonlySet<string>; users: ReadonlySet<string> }>;
  grant(names: AccessNames, password: Secret, before: BeforeStep): Promise<void>;
  revoke(names: Pick<AccessNames, 'role' | 'username'>, before: BeforeStep): Promise<void>;
}

export interface TenantKeys {
  count(deploymentId: string): Promise<number>;
  deleteAll(deploymentId: string, before: BeforeStep): Promise<void>;
}

/** One backing cluster, as the broker works with it. */
export interface BackingCluster {
  /** What the records of its instances and bindings name it by. */
  readonly id: string;
  readonly access: AccessControl;
  readonly tenantKeys: TenantKeys;
  /** Why bindings made now would not be safe (an alarm is raised); undefined when all is well. */
  readonly alarm: string | undefined;
}

/** All backing clusters. */
export interface Clusters {
  /**
   * The cluster that an instance or a binding lives in.
   * @throws ClusterUnavailable when it is none of those that are configured
   */
  of(record: { cluster?: string }): BackingCluster;
  /** The cluster for a new instance. */
  forNewInstance(): BackingCluster;
}

export interface Seals {
  seal(secret: Secret, purpose: string): string;
  open(text: string, purpose: string): Secret;
}

/** Gives keys for streams of bytes. */
export interface StreamKeys {
  readonly newestKeyId: string;
  /** @throws SealError */
  derive(purpose: string, salt: Buffer, keyId?: string): Buffer;
}

/** This replica's sign of life in etcd. */
export interface OwnSession {
  readonly id: string;
  /** @throws Error when work taken under this id may be another replica's by now */
  assertOwns(owner: string): void;
}

/** Copies of instances, as the verbs use them. */
export interface InstanceBackups {
  /** Whether a plan's instances have any. */
  coversPlan(serviceId: string, planId: string): boolean;
  /**
   * A backup that may be restored into an instance of this owner.
   * @param backupId `latest` for the newest one
   */
  find(
    instanceId: string,
    backupId: string,
    owner: Pick<InstanceRecord, 'organization_guid' | 'space_guid'>,
  ): Promise<BackupSource | undefined>;
  /** Makes the last backup of an instance that is deleted, unless there is one, or nothing to keep. */
  takeLast(instance: InstanceRecord): Promise<void>;
  /**
   * Makes an instance hold what a backup does, and nothing else, as long as its record is as it was read. Safe to
   * repeat.
   * @throws Overtaken, RestoreImpossible, or what may go by
   */
  restore(
    source: BackupSource,
    instance: Stored<InstanceRecord>,
    before: BeforeStep,
    onProgress: (text: string) => void,
  ): Promise<void>;
}

export interface BrokerLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}
