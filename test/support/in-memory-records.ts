import type { BindingRecord, InstanceRecord, OperationRecord, Stored } from '../../src/broker/model.js';
import type { ChangeResult, OnMalformed, RecordChange, Records } from '../../src/broker/ports.js';
import { EtcdError } from '../../src/etcd/errors.js';
import { Changes, type Commits, type Outcome, type RefusedTransaction } from '../../src/records/changing.js';
import { decodeId, keys } from '../../src/records/keys.js';
import {
  BINDING_FIELDS,
  decode,
  type Fields,
  INSTANCE_FIELDS,
  OPERATION_FIELDS,
  type Raw,
} from '../../src/records/reading.js';
import { ABSENT, encode, type Transaction } from '../../src/records/transaction-plan.js';

/**
 * What becomes of a transaction.
 *
 * - `pass`: it is carried out and answered.
 * - `lost`: it does not reach the store, and the caller gets a time-out.
 * - `answer lost`: it is carried out, and the caller gets a time-out.
 * - `sent twice`: it is carried out, the answer is lost, and the connection sends it again.
 * - `no space`, `no space, applied`: the caller is told that there is no space.
 */
export type Fate = 'pass' | 'lost' | 'answer lost' | 'sent twice' | 'no space' | 'no space, applied';

interface Entry {
  bytes: Buffer;
  created: number;
  revision: number;
}

/** What all replicas share: keys with revisions, as in etcd. */
export class MemoryStore {
  readonly entries = new Map<string, Entry>();
  revision = 1;
  /** Refuses all transactions that put something. */
  isFull = false;

  put(key: string, value: unknown): void {
    this.revision += 1;
    this.#put(key, Buffer.isBuffer(value) ? value : encode(value));
  }

  raw(key: string): Raw | undefined {
    const entry = this.entries.get(key);
    return entry && { key, bytes: entry.bytes, revision: String(entry.revision) };
  }

  under(prefix: string): string[] {
    return [...this.entries.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  apply(transaction: Transaction): Outcome {
    const { checks, present, empty, puts, deletes, deletedPrefixes } = transaction;
    const holds =
      [...checks].every(([key, revision]) => (this.raw(key)?.revision ?? ABSENT) === revision) &&
      (present === undefined || this.entries.has(present)) &&
      empty.every((prefix) => this.under(prefix).length === 0);
    if (!holds) {
      return this.look(transaction);
    }
    this.revision += 1;
    for (const [key, value] of puts) {
      this.#put(key, encode(value));
    }
    for (const key of [...deletes, ...deletedPrefixes.flatMap((prefix) => this.under(prefix))]) {
      this.entries.delete(key);
    }
    return { committed: true, revision: String(this.revision) };
  }

  look({ checks, puts, traces, siblings }: Transaction): RefusedTransaction {
    const finished = [...puts.keys()].filter((key) => key.startsWith(keys.operations));
    const found = new Map<string, Raw>();
    for (const key of [...checks.keys(), ...finished, ...traces]) {
      const raw = this.raw(key);
      if (raw !== undefined) {
        found.set(key, raw);
      }
    }
    const created = (key: string) => this.entries.get(key)?.created ?? 0;
    const others = siblings === undefined ? [] : this.under(siblings);
    return { committed: false, found, siblings: others.sort((a, b) => created(b) - created(a)) };
  }

  #put(key: string, bytes: Buffer): void {
    const created = this.entries.get(key)?.created ?? this.revision;
    this.entries.set(key, { bytes, created, revision: this.revision });
  }
}

/** One replica's records in a store that all of them share. */
export class InMemoryRecords implements Records {
  /** Called before each call takes effect; may wait. */
  before: (call: string) => Promise<void> | void = () => undefined;
  /** Decides what becomes of a transaction. */
  fate: (transaction: Transaction) => Fate = () => 'pass';
  readonly #changes: Changes;

  constructor(
    readonly store: MemoryStore,
    readonly session: { readonly id: string },
  ) {
    const commits: Commits = {
      commit: (transaction) => this.#commit(transaction),
      look: async (transaction) => {
        await this.before('look');
        return store.look(transaction);
      },
    };
    this.#changes = new Changes(commits, session);
  }

  async #commit(transaction: Transaction): Promise<Outcome> {
    await this.before('commit');
    const { store } = this;
    const fate = store.isFull && transaction.puts.size > 0 ? 'no space' : this.fate(transaction);
    switch (fate) {
      case 'pass':
        return store.apply(transaction);
      case 'sent twice':
        store.apply(transaction);
        await this.before('commit again');
        return store.apply(transaction);
      case 'answer lost':
        store.apply(transaction);
        throw new EtcdError('timeout', 'no answer');
      case 'lost':
        throw new EtcdError('timeout', 'no answer');
      case 'no space, applied':
        store.apply(transaction);
        throw new EtcdError('no-space', 'database space exceeded');
      case 'no space':
        throw new EtcdError('no-space', 'database space exceeded');
    }
  }

  async #read<T>(key: string, fields: Fields<T>): Promise<Stored<T> | undefined> {
    await this.before('read');
    const raw = this.store.raw(key);
    return raw && decode(raw, fields);
  }

  readInstance(instanceId: string): Promise<Stored<InstanceRecord> | undefined> {
    return this.#read(keys.instance(instanceId), INSTANCE_FIELDS);
  }

  async readInstanceOfDeployment(deploymentId: string): Promise<Stored<InstanceRecord> | undefined> {
    const index = await this.#read<{ instance_id: string }>(keys.deployment(deploymentId), ['instance_id']);
    return index && this.readInstance(index.value.instance_id);
  }

  readBinding(instanceId: string, bindingId: string): Promise<Stored<BindingRecord> | undefined> {
    return this.#read(keys.binding(instanceId, bindingId), BINDING_FIELDS);
  }

  async recentOperations(instanceId: string, limit: number): Promise<OperationRecord[]> {
    const found = [keys.operationsOf(instanceId), keys.operationsOnBindingsOf(instanceId)].flatMap((prefix) =>
      this.store.under(prefix),
    );
    const read = await Promise.all(found.map((key) => this.#read(key, OPERATION_FIELDS)));
    return read.flatMap((stored) => stored?.value ?? []).slice(0, limit);
  }

  async readOperation(
    instanceId: string,
    bindingId?: string,
    operationId?: string,
  ): Promise<OperationRecord | undefined> {
    if (operationId === undefined) {
      const latest = this.store.under(keys.operationsOf(instanceId, bindingId)).at(-1);
      return latest === undefined ? undefined : (await this.#read(latest, OPERATION_FIELDS))?.value;
    }
    await this.before('read');
    const raw =
      this.store.raw(keys.operation(instanceId, bindingId, operationId)) ??
      this.store.raw(keys.openOperation(operationId));
    return raw && decode(raw, OPERATION_FIELDS).value;
  }

  async *bindings(instanceId?: string, onMalformed?: OnMalformed): AsyncGenerator<Stored<BindingRecord>> {
    await this.before('read');
    const prefix = instanceId === undefined ? keys.bindings : keys.bindingsOf(instanceId);
    for (const key of this.store.under(prefix)) {
      const stored = this.#decodeOr(key, BINDING_FIELDS, onMalformed);
      if (stored !== undefined) {
        yield stored;
      }
    }
  }

  #decodeOr<T>(key: string, fields: Fields<T>, onMalformed?: OnMalformed): Stored<T> | undefined {
    const raw = this.store.raw(key);
    try {
      return raw && decode(raw, fields);
    } catch (error) {
      if (onMalformed === undefined) {
        throw error;
      }
      onMalformed(key, (error as Error).message);
      return undefined;
    }
  }

  async change(change: RecordChange): Promise<ChangeResult> {
    return this.#changes.change(change);
  }

  markGone(instanceId: string, bindingId?: string): Promise<boolean> {
    return this.#changes.markGone(instanceId, bindingId);
  }

  async dropMalformed(key: string): Promise<void> {
    const raw = this.store.raw(key);
    let isMalformed = false;
    this.#decodeOr(key, BINDING_FIELDS, () => {
      isMalformed = true;
    });
    if (raw !== undefined && isMalformed) {
      await this.#changes.drop(key, raw.revision);
    }
  }

  async openOperations(
    limit = Number.POSITIVE_INFINITY,
    onMalformed?: OnMalformed,
  ): Promise<{ operations: OperationRecord[]; owners: ReadonlySet<string> }> {
    await this.before('read');
    const open = this.store.under(keys.open).slice(0, limit);
    const operations = open.flatMap((key) => this.#decodeOr(key, OPERATION_FIELDS, onMalformed)?.value ?? []);
    const owners = this.store.under(keys.owners).map((key) => key.slice(keys.owners.length));
    return { operations, owners: new Set(owners) };
  }

  async sessionLives(owner: string): Promise<boolean> {
    await this.before('read');
    return this.store.entries.has(keys.owner(owner));
  }

  async recordedNames(): Promise<ReadonlySet<string>> {
    const names = new Set<string>();
    for await (const { value } of this.bindings()) {
      names.add(value.role).add(value.username);
    }
    return names;
  }

  async storedBytes(): Promise<number | undefined> {
    return undefined;
  }

  async nextDue(): Promise<number | undefined> {
    const [first] = this.store.under(keys.expiring).toSorted();
    return first === undefined ? undefined : Number.parseInt(first.slice(keys.expiring.length), 10);
  }

  async dueBindings(nowMs: number): Promise<{ instance_id: string; binding_id: string }[]> {
    const due = this.store.under(keys.expiring).filter((key) => key < keys.expiringBefore(nowMs));
    return due.map((key) => {
      const [, instance = '', binding = ''] = key.slice(keys.expiring.length).split('/');
      return { instance_id: decodeId(instance), binding_id: decodeId(binding) };
    });
  }
}
