import type { BindingRecord, InstanceRecord } from '../broker/model.js';
import type { RecordChange } from '../broker/ports.js';
import { keys } from './keys.js';

/** A transaction on the keys of records. */
export interface Transaction {
  /** Each key's last change must have this revision, `ABSENT` for none, else nothing is written. */
  checks: Map<string, string>;
  /** A key that must exist, whatever its revision. */
  present?: string;
  /** Prefixes under which nothing may be. */
  empty: string[];
  puts: Map<string, unknown>;
  deletes: string[];
  /** Prefixes under which everything is deleted. */
  deletedPrefixes: string[];
  /** Of the puts, those that are to vanish after a day. */
  history: Set<string>;
  /** Where a creation's operation is, or was, if the creation has been applied. */
  traces: string[];
  /** A prefix whose keys are read, the newest first, when nothing is written. */
  siblings?: string;
}

/** The revision of a key that is not there. */
export const ABSENT = '0';

/**
 * Which keys a change of records touches: the records themselves and the indexes by which they are found.
 * @param session this replica's: what it opens needs its sign of life
 */
export function planChange(change: RecordChange, session: string): Transaction {
  const transaction = newTransaction();
  planInstance(transaction, change);
  planBinding(transaction, change);
  planOperations(transaction, change, session);
  return transaction;
}

export function newTransaction(): Transaction {
  return {
    checks: new Map(),
    empty: [],
    puts: new Map(),
    deletes: [],
    deletedPrefixes: [],
    history: new Set(),
    traces: [],
  };
}

function planInstance(transaction: Transaction, { instance }: RecordChange): void {
  if (instance === undefined) {
    return;
  }
  const { id, expected, next } = instance;
  planRecord(transaction, keys.instance(id), keys.gone(id), expected, next);
  if (next === null && expected !== undefined) {
    transaction.empty.push(keys.bindingsOf(id));
    const { deployment_id } = expected.value;
    transaction.deletes.push(keys.deployment(deployment_id), keys.portalScan(deployment_id));
    transaction.deletedPrefixes.push(
      keys.portalFloorsOf(deployment_id),
      keys.seriesOf(deployment_id),
      keys.apiTokensOf(id),
    );
    // Malformed bindings may have left entries.
    transaction.deletedPrefixes.push(keys.applicationsOf(id));
  } else if (next && expected === undefined) {
    transaction.puts.set(keys.deployment(next.deployment_id), { schema: 1, instance_id: id });
  }
}

function planBinding(transaction: Transaction, { binding, unlessBound }: RecordChange): void {
  if (binding === undefined) {
    return;
  }
  const { instance_id, binding_id, expected, next } = binding;
  planRecord(
    transaction,
    keys.binding(instance_id, binding_id),
    keys.gone(instance_id, binding_id),
    expected,
    next,
  );
  const before = bindingIndexes(expected?.value);
  const after = next === undefined ? before : bindingIndexes(next ?? undefined);
  transaction.deletes.push(...[...before].filter((key) => !after.has(key)));
  for (const key of after) {
    if (!before.has(key)) {
      transaction.puts.set(key, { schema: 1, instance_id, binding_id });
    }
  }
  if (unlessBound !== undefined) {
    transaction.siblings = keys.application(instance_id, unlessBound);
    transaction.empty.push(transaction.siblings);
  }
}

/**
 * A creation expects the mark of the last deletion to be what it was, and a deletion leaves a new one. So a creation
 * that is sent, overtaken by a deletion and reaches etcd late makes nothing.
 */
function planRecord(
  { checks, puts, deletes, history }: Transaction,
  key: string,
  gone: string,
  expected: { revision: string } | undefined,
  next: unknown,
): void {
  checks.set(key, expected?.revision ?? ABSENT);
  if (next === null) {
    deletes.push(key);
    puts.set(gone, { schema: 1 });
    history.add(gone);
  } else if (next !== undefined) {
    puts.set(key, next);
    if (expected === undefined) {
      checks.set(gone, ABSENT);
    }
  }
}

function planOperations(
  transaction: Transaction,
  { opened, finished, instance, binding }: RecordChange,
  session: string,
): void {
  const { puts, deletes, history, traces } = transaction;
  if (opened !== undefined) {
    const { id, instance_id, binding_id, owner } = opened;
    puts.set(keys.openOperation(id), opened);
    // Work that is handed to another replica is taken over by recovery should that one be gone.
    if (owner === session) {
      transaction.present = keys.owner(session);
    }
    const created = binding ?? instance;
    if (created?.next && created.expected === undefined) {
      traces.push(keys.openOperation(id), keys.operation(instance_id, binding_id, id));
    }
  }
  for (const operation of finished ?? []) {
    const key = keys.operation(operation.instance_id, operation.binding_id, operation.id);
    puts.set(key, operation);
    history.add(key);
    deletes.push(keys.openOperation(operation.id));
  }
}

/** The keys by which a binding is found: while it is to expire, and by its application. */
function bindingIndexes(binding: BindingRecord | undefined): Set<string> {
  const found = new Set<string>();
  if (binding === undefined) {
    return found;
  }
  const { instance_id, binding_id, expired, expiry, attributes } = binding;
  if (expiry !== undefined && !expired) {
    found.add(keys.expiry(expiry.due_ms, instance_id, binding_id));
  }
  if (attributes.app_guid) {
    found.add(keys.applicationBinding(instance_id, attributes.app_guid, binding_id));
  }
  return found;
}

/** The entries in the indexes that these records need, by key. */
export function indexEntries(
  instances: readonly InstanceRecord[],
  bindings: readonly BindingRecord[],
): Map<string, unknown> {
  const entries = new Map<string, unknown>();
  for (const { deployment_id, instance_id } of instances) {
    entries.set(keys.deployment(deployment_id), { schema: 1, instance_id });
  }
  for (const binding of bindings) {
    const { instance_id, binding_id } = binding;
    for (const key of bindingIndexes(binding)) {
      entries.set(key, { schema: 1, instance_id, binding_id });
    }
  }
  return entries;
}

/** The bytes of a record. */
export function encode(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value), 'utf8');
}
