import type { Secret } from '../credentials/secret.js';
import type { AccessNames, BindingRecord, InstanceRecord, OperationRecord, Stored } from './model.js';

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
   * Until when, on the monotonic clock, a creation may go on after a deletion that came first. Without it, or later,
   * the deletion has the last word.
   */
  until?: number;
  /** End with this change and stay readable for a day. */
  finished?: readonly OperationRecord[];
}

/** `revision` is that of the records written; otherwise both hold what is there instead, undefined for nothing. */
export type ChangeResult =
  | { done: true; revision: string }
  | { done: false; instance?: Stored<InstanceRecord>; binding?: Stored<BindingRecord> };

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
  bindings(instanceId?: string): AsyncIterable<Stored<BindingRecord>>;
  change(change: RecordChange): Promise<ChangeResult>;
  /**
   * To be called before the platform is told that what it deletes does not exist: a creation that was sent before,
   * and may still be on its way to etcd, comes to nothing then.
   * @returns false when it exists by now
   */
  markGone(instanceId: string, bindingId?: string): Promise<boolean>;
  /** What is under way, and the sessions that live. */
  openOperations(): Promise<{ operations: OperationRecord[]; owners: ReadonlySet<string> }>;
  sessionLives(owner: string): Promise<boolean>;
  /** The names of all roles and users that records speak of. */
  recordedNames(): Promise<ReadonlySet<string>>;
  /** Whether any binding is still to expire. */
  hasExpiring(): Promise<boolean>;
  /** Bindings whose time is up by the cluster's clock. */
  dueBindings(nowMs: number): Promise<{ instance_id: string; binding_id: string }[]>;
}

/** The clock that all replicas share, in milliseconds; no wall clock moves it. */
export interface SharedClock {
  now(): Promise<number>;
  /** Moves it on; undefined when another replica does that. */
  tick(): Promise<number | undefined>;
}

/** What the cluster is short of, so that bindings made now would not be safe; undefined when all is well. */
export type Trouble = () => string | undefined;

/** Called before each single step of several; throws to stop between two of them. */
export type BeforeStep = () => void;

export interface AccessControl {
  /** The names of this broker's roles and users that exist. */
  names(): Promise<ReadonlySet<string>>;
  grant(names: AccessNames, password: Secret, before: BeforeStep): Promise<void>;
  revoke(names: Pick<AccessNames, 'role' | 'username'>, before: BeforeStep): Promise<void>;
}

export interface TenantKeys {
  count(deploymentId: string): Promise<number>;
  deleteAll(deploymentId: string, before: BeforeStep): Promise<void>;
}

export interface Seals {
  seal(secret: Secret, purpose: string): string;
  open(text: string, purpose: string): Secret;
}

/** This replica's sign of life in etcd. */
export interface OwnSession {
  readonly id: string;
  /** @throws Error when work taken under this id may be another replica's by now */
  assertOwns(owner: string): void;
}

export interface BrokerLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}
