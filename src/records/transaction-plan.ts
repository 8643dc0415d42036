import { CompareResult, CompareTarget, type ICompare, type IRequestOp } from 'etcd3';
import type { BindingRecord, InstanceRecord } from '../broker/model.js';
import type { RecordChange } from '../broker/ports.js';
import { prefixEnd } from '../etcd/ranges.js';
import { keys } from './keys.js';
import type { KeyedTransaction } from './transaction-batches.js';

/** A transaction on the keys of records. */
export interface Transaction {
  /** Each key's last change must have this revision, `ABSENT` for none, else nothing is written. */
  checks: Map<string, string>;
  /** A key that must exist, whatever its revision. */
  present?: string;
  /** A prefix under which nothing may be. */
  empty?: string;
  puts: Map<string, unknown>;
  deletes: string[];
  /** Of the puts, those that are to vanish after a day. */
  history: Set<string>;
}

/** The revision of a key that is not there. */
export const ABSENT = '0';
/** About how long a transaction is without the values that it puts. */
const BYTES_BESIDE_VALUES = 4_096;

/**
 * Which keys a change of records touches: the records themselves and the indexes by which they are found.
 * @param session this replica's: what it opens needs its sign of life
 */
export function planChange(
  { instance, binding, opened, finished }: RecordChange,
  session: string,
): Transaction {
  const transaction: Transaction = {
    checks: new Map(),
    puts: new Map(),
    deletes: [],
    history: new Set(),
  };
  const { checks, puts, deletes, history } = transaction;
  // A creation expects the mark of the last deletion to be what it was, and a deletion leaves a new one: so one that
  // is sent, overtaken by a deletion and reaches etcd late makes nothing.
  const write = (key: string, gone: string, expected: unknown, next: unknown) => {
    if (next === null) {
      deletes.push(key);
      puts.set(gone, { schema: 1 });
      history.add(gone);
    } else if (next !== undefined && expected === undefined) {
      checks.set(gone, ABSENT);
      puts.set(key, next);
    } else if (next !== undefined) {
      puts.set(key, next);
    }
  };
  if (instance !== undefined) {
    const key = keys.instance(instance.id);
    checks.set(key, instance.expected?.revision ?? ABSENT);
    write(key, keys.gone(instance.id), instance.expected, instance.next);
    if (instance.next === null && instance.expected !== undefined) {
      transaction.empty = keys.bindingsOf(instance.id);
      deletes.push(keys.deployment(instance.expected.value.deployment_id));
    } else if (instance.next && instance.expected === undefined) {
      puts.set(keys.deployment(instance.next.deployment_id), { schema: 1, instance_id: instance.id });
    }
  }
  if (binding !== undefined) {
    const key = keys.binding(binding.instance_id, binding.binding_id);
    checks.set(key, binding.expected?.revision ?? ABSENT);
    const { instance_id, binding_id } = binding;
    write(key, keys.gone(instance_id, binding_id), binding.expected, binding.next);
    const awaited = awaitedExpiry(binding.expected?.value);
    const next = binding.next === undefined ? awaited : awaitedExpiry(binding.next ?? undefined);
    const index = (dueMs: number) => keys.expiry(dueMs, instance_id, binding_id);
    if (awaited !== undefined && next === undefined) {
      deletes.push(index(awaited));
    } else if (next !== undefined && awaited === undefined) {
      puts.set(index(next), { schema: 1, instance_id, binding_id });
    }
  }
  if (opened !== undefined) {
    puts.set(keys.openOperation(opened.id), opened);
    // Work that is handed to another replica is taken over by recovery should that one be gone.
    if (opened.owner === session) {
      transaction.present = keys.owner(session);
    }
  }
  for (const operation of finished ?? []) {
    const key = keys.operation(operation.instance_id, operation.binding_id, operation.id);
    puts.set(key, operation);
    history.add(key);
    deletes.push(keys.openOperation(operation.id));
  }
  return transaction;
}

/** The entries in the indexes of deployments and of what is to expire that these records need, by key. */
export function indexEntries(
  instances: readonly InstanceRecord[],
  bindings: readonly BindingRecord[],
): Map<string, unknown> {
  const plans = [
    ...instances.map((next) =>
      planChange({ instance: { id: next.instance_id, expected: undefined, next } }, ''),
    ),
    ...bindings.map((next) => planChange({ binding: { ...next, expected: undefined, next } }, '')),
  ];
  const isIndex = ([key]: [string, unknown]) =>
    key.startsWith(keys.deployments) || key.startsWith(keys.expiring);
  return new Map(plans.flatMap(({ puts }) => [...puts].filter(isIndex)));
}

/** The transaction as etcd takes it. @param history the lease of what is to vanish after a day */
export function toRequest(transaction: Transaction, history: string | undefined): KeyedTransaction {
  const checked = [...transaction.checks.keys()];
  const puts = [...transaction.puts].map(([key, value]) => ({
    key,
    value: encode(value),
  }));
  const compare = [...transaction.checks].map(([key, revision]): ICompare => {
    const mod = { key: Buffer.from(key), target: CompareTarget.Mod, result: CompareResult.Equal };
    return { ...mod, mod_revision: revision };
  });
  if (transaction.present !== undefined) {
    const exists = { target: CompareTarget.Version, result: CompareResult.Greater, version: 0 };
    compare.push({ key: Buffer.from(transaction.present), ...exists });
  }
  if (transaction.empty !== undefined) {
    const range = { key: Buffer.from(transaction.empty), range_end: prefixEnd(transaction.empty) };
    compare.push({
      ...range,
      target: CompareTarget.Create,
      result: CompareResult.Equal,
      create_revision: ABSENT,
    });
  }
  return {
    request: {
      compare,
      success: [
        ...puts.map(({ key, value }): IRequestOp => {
          const lease = history !== undefined && transaction.history.has(key) ? { lease: history } : {};
          return { request_put: { key: Buffer.from(key), value, ...lease } };
        }),
        ...transaction.deletes.map((key) => ({ request_delete_range: { key: Buffer.from(key) } })),
      ],
      failure: checked.map((key) => ({ request_range: { key: Buffer.from(key) } })),
    },
    writes: [...transaction.puts.keys(), ...transaction.deletes],
    reads: transaction.present === undefined ? checked : [...checked, transaction.present],
    bytes: puts.reduce((sum, { key, value }) => sum + key.length + value.length, BYTES_BESIDE_VALUES),
  };
}

/** The bytes of a record. */
export function encode(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value), 'utf8');
}

/** When a binding is due to expire, if it is to and has not yet. */
function awaitedExpiry(binding: BindingRecord | undefined): number | undefined {
  return binding?.expired ? undefined : binding?.expiry?.due_ms;
}
