import type { JsonObject } from '../catalog/types.js';

/**
 * What the broker knows of its instances, bindings and operations: the shapes of its records.
 *
 * A record carries a `schema` version. Code changes a record by spreading it, so fields that a newer release
 * wrote survive in the hands of an older one.
 */

export type { JsonObject } from '../catalog/types.js';

/** The backing cluster that also holds the records, and that older records name none for. */
export const FIRST_CLUSTER = 'first';

/** The backing cluster that an instance or a binding lives in. */
export function clusterOf({ cluster = FIRST_CLUSTER }: { cluster?: string }): string {
  return cluster;
}

/** The durable changes that platforms ask for, in the words of the specification. */
export const PLATFORM_KINDS = ['provision', 'update', 'deprovision', 'bind', 'unbind'] as const;
/** And those that people make without their platform: another password, a key by hand, a token made or revoked. */
export type OperationKind = (typeof PLATFORM_KINDS)[number] | 'rotate' | 'edit' | 'token';

/** Whether an operation is one that a platform may ask for the end of. */
export function isPlatforms({ kind }: { kind: OperationKind }): boolean {
  return (PLATFORM_KINDS as readonly string[]).includes(kind);
}

/** The states of `last_operation` (specification: "Polling Last Operation"). */
export type OperationState = 'in progress' | 'succeeded' | 'failed';

/** Who works on a record now. The record is whole again when this is gone from it. */
export interface Work {
  operation_id: string;
  kind: OperationKind;
  /** The session (see `Session`) of the replica that does it. */
  owner: string;
  started_at: string;
  /** Why a creation is being taken back; absent when the platform asked for the removal. */
  failure?: string;
}

export interface InstanceRecord {
  schema: 1;
  instance_id: string;
  /** `restoring`: its keys come out of a backup, and nobody may use it yet. */
  state: 'ready' | 'restoring' | 'deprovisioning';
  service_id: string;
  plan_id: string;
  /** 24 hexadecimal digits, never used twice. */
  deployment_id: string;
  /** The backing cluster that it lives in; absent in older records, which live in the first one. */
  cluster?: string;
  organization_guid: string;
  space_guid: string;
  context: JsonObject;
  parameters: JsonObject;
  maintenance_version?: string;
  created_at: string;
  updated_at: string;
  work?: Work;
  /** Out of which backup its keys come, or came. */
  restored_from?: BackupSource;
}

/** A backup, as far as a restore has to know it. */
export interface BackupSource {
  instance_id: string;
  deployment_id: string;
  backup_id: string;
  keys: number;
}

export type Access = 'readwrite' | 'readonly';

/** What a binding was asked to be; the same binding id with other attributes is a conflict. */
export interface BindingAttributes {
  service_id: string;
  plan_id: string;
  app_guid?: string;
  bind_resource?: JsonObject;
  parameters: JsonObject;
  predecessor_binding_id?: string;
}

/** All that exists in etcd for one binding. Names are random, so no two bindings ever share one. */
export interface AccessNames {
  role: string;
  username: string;
  /** Ends with `/`. */
  key_prefix: string;
  access: Access;
}

/** When a binding's credentials stop working (specification: "Binding Metadata Object"). */
export interface Expiry {
  /** On the cluster's own clock (see `records/cluster-clock.ts`), in milliseconds: this is what counts. */
  due_ms: number;
  /** For people and platforms, by the wall clock of the replica that made the binding. */
  expires_at: string;
  renew_before: string;
}

export interface BindingRecord extends AccessNames {
  schema: 1;
  instance_id: string;
  binding_id: string;
  state: 'binding' | 'ready' | 'unbinding';
  deployment_id: string;
  /** Its instance's. */
  cluster?: string;
  attributes: BindingAttributes;
  key_space: string;
  expiry?: Expiry;
  /** The credentials' time was up, and they do not work any more. */
  expired?: true;
  /** The password, sealed (see `credentials/seal.ts`). */
  sealed_password: string;
  /** Once the password was rotated: what etcd's user has for one. Portals sign in with it, and nobody else knows it. */
  sealed_etcd_password?: string;
  /** The credentials hold a token of the administration API. */
  administration?: true;
  created_at: string;
  work?: Work;
}

export interface OperationRecord {
  schema: 1;
  id: string;
  kind: OperationKind;
  state: OperationState;
  description: string;
  instance_id: string;
  binding_id?: string;
  owner: string;
  started_at: string;
  finished_at?: string;
}

/** A record as it was read: the value and etcd's revision of its last change. */
export interface Stored<T> {
  value: T;
  /** etcd's mod_revision, a decimal number as text. */
  revision: string;
}
