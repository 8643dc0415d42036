import { type IKeyValue, SortOrder, SortTarget } from 'etcd3';
import type {
  BindingRecord,
  InstanceRecord,
  OperationKind,
  OperationRecord,
  OperationState,
  Stored,
} from '../broker/model.js';
import type { ChangeResult, IndexFault, RecordChange, Records } from '../broker/ports.js';
import type { Deadline, EtcdClient } from '../etcd/client.js';
import { EtcdError } from '../etcd/errors.js';
import { rangeOfPrefix } from '../etcd/ranges.js';
import type { HistoryLease } from './history-lease.js';
import { keys } from './keys.js';
import { TransactionBatches } from './transaction-batches.js';
import { ABSENT, encode, indexEntries, planChange, type Transaction, toRequest } from './transaction-plan.js';

/** `current` holds what the checked keys hold instead. */
type Commit =
  | { committed: true; revision: string }
  | { committed: false; current: ReadonlyMap<string, Stored<unknown>> };

/**
 * Reads and changes the broker's records in etcd. Each change is one transaction on conditions.
 *
 * Public methods throw `EtcdError` when etcd does not answer or refuses.
 */
export class RecordStore implements Records {
  readonly #batches = new TransactionBatches(
    (request, options) => this.connection.kv.txn(request, options),
    () => this.isFull(),
  );

  constructor(
    readonly connection: EtcdClient,
    readonly historyLease: HistoryLease,
    /** This replica's session. */
    readonly session: { readonly id: string },
    /** Is told of each operation that ended with a change made here. */
    readonly onFinished: (kind: OperationKind, state: OperationState) => void = () => undefined,
    /** Whether etcd has no space left, as far as is known. */
    readonly isFull: () => boolean = () => false,
  ) {}

  readInstance(instanceId: string): Promise<Stored<InstanceRecord> | undefined> {
    return this.#read(keys.instance(instanceId));
  }

  readBinding(instanceId: string, bindingId: string): Promise<Stored<BindingRecord> | undefined> {
    return this.#read(keys.binding(instanceId, bindingId));
  }

  /** The instance that a deployment id belongs to. */
  async readInstanceOfDeployment(deploymentId: string): Promise<Stored<InstanceRecord> | undefined> {
    const index = await this.#read<{ instance_id: string }>(keys.deployment(deploymentId));
    return index && this.readInstance(index.value.instance_id);
  }

  /** One operation, or the latest finished one of the instance or binding when no id is given. */
  async readOperation(
    instanceId: string,
    bindingId: string | undefined,
    operationId: string | undefined,
  ): Promise<OperationRecord | undefined> {
    if (operationId === undefined) {
      const { kvs } = await this.connection.kv.range({
        ...rangeOfPrefix(keys.operationsOf(instanceId, bindingId)),
        limit: 1,
        sort_target: SortTarget.Create,
        sort_order: SortOrder.Descend,
      });
      return kvs[0] && stored<OperationRecord>(kvs[0]).value;
    }
    // It is in one of two places, so both are read at one moment.
    const places = [keys.operation(instanceId, bindingId, operationId), keys.openOperation(operationId)];
    const { responses } = await this.connection.kv.txn({
      success: places.map((key) => ({ request_range: { key: Buffer.from(key) } })),
    });
    const [kv] = responses.flatMap(({ response_range }) => response_range.kvs);
    const operation = kv && stored<OperationRecord>(kv).value;
    const isTheirs = operation?.instance_id === instanceId && operation.binding_id === bindingId;
    return isTheirs ? operation : undefined;
  }

  /** Bindings of an instance, or of all instances, a page of records at a time, in the order of their keys. */
  async *bindings(instanceId?: string, page = 100): AsyncGenerator<Stored<BindingRecord>> {
    yield* this.#all<BindingRecord>(
      instanceId === undefined ? keys.bindings : keys.bindingsOf(instanceId),
      page,
    );
  }

  async *instances(page = 100): AsyncGenerator<Stored<InstanceRecord>> {
    yield* this.#all<InstanceRecord>(keys.instances, page);
  }

  /** What is under way, at most `limit` of it, and which sessions live. */
  async openOperations(limit = 5_000): Promise<{ operations: OperationRecord[]; owners: Set<string> }> {
    // The operations first: an owner that is missing afterwards was gone when its operation was still open.
    const open = await this.connection.kv.range({ ...rangeOfPrefix(keys.open), limit });
    if (open.kvs.length === 0) {
      return { operations: [], owners: new Set() };
    }
    const owners = await this.connection.kv.range({ ...rangeOfPrefix(keys.owners), keys_only: true });
    return {
      operations: open.kvs.map((kv) => stored<OperationRecord>(kv).value),
      owners: new Set(owners.kvs.map((kv) => kv.key.toString('utf8').slice(keys.owners.length))),
    };
  }

  /** Compares the indexes of deployments and of what is to expire with the records. */
  async indexFaults(
    instances: readonly InstanceRecord[],
    bindings: readonly BindingRecord[],
  ): Promise<IndexFault[]> {
    const faults: IndexFault[] = [];
    const expected = indexEntries(instances, bindings);
    for (const prefix of [keys.deployments, keys.expiring]) {
      for await (const kv of this.#kvs(prefix, 1_000)) {
        const key = kv.key.toString('utf8');
        if (!expected.delete(key)) {
          faults.push({ kind: 'stray', key });
        }
      }
    }
    return [...faults, ...[...expected].map(([key, value]): IndexFault => ({ kind: 'missing', key, value }))];
  }

  /** For repairs: puts an entry into an index, or takes it out. */
  async mendIndex({ kind, key, value }: IndexFault): Promise<void> {
    if (kind === 'missing') {
      await this.#put(key, value);
    } else {
      await this.connection.kv.deleteRange({ key: Buffer.from(key) });
    }
  }

  /** For repairs: puts an operation into the index of open operations again. */
  async indexOpenOperation(operation: OperationRecord): Promise<void> {
    await this.#put(keys.openOperation(operation.id), operation);
  }

  /** For repairs: takes an operation out of the index of open operations. */
  async forgetOpenOperation(operationId: string): Promise<void> {
    await this.connection.kv.deleteRange({ key: Buffer.from(keys.openOperation(operationId)) });
  }

  /** The names of all roles, which are those of the users too, that bindings speak of. */
  async recordedNames(): Promise<Set<string>> {
    const names = new Set<string>();
    for await (const { value } of this.bindings()) {
      names.add(value.role).add(value.username);
    }
    return names;
  }

  async hasExpiring(): Promise<boolean> {
    const { kvs } = await this.connection.kv.range({
      ...rangeOfPrefix(keys.expiring),
      limit: 1,
      keys_only: true,
    });
    return kvs.length > 0;
  }

  /** Bindings whose time is up, the earliest first, at most `limit` of them. */
  async dueBindings(nowMs: number, limit = 100): Promise<{ instance_id: string; binding_id: string }[]> {
    const { kvs } = await this.connection.kv.range({
      key: Buffer.from(keys.expiring),
      range_end: Buffer.from(keys.expiringBefore(nowMs)),
      limit,
    });
    return kvs.map((kv) => stored<{ instance_id: string; binding_id: string }>(kv).value);
  }

  /** How many instances, bindings and open operations there are. */
  async counts(options?: Deadline): Promise<{ instances: number; bindings: number; open: number }> {
    const count = async (prefix: string) =>
      Number((await this.connection.kv.range({ ...rangeOfPrefix(prefix), count_only: true }, options)).count);
    const [instances, bindings, open] = await Promise.all([
      count(keys.instances),
      count(keys.bindings),
      count(keys.open),
    ]);
    return { instances, bindings, open };
  }

  /** Proves that records can be written. */
  async probe(options?: Deadline): Promise<void> {
    await this.connection.kv.put({ key: Buffer.from(keys.probe), value: Buffer.from('{}') }, options);
  }

  /** Carries out a change if all that it expects holds. Safe to repeat when the answer was lost. */
  change(change: RecordChange): Promise<ChangeResult> {
    return this.#carryOut(planChange(change, this.session.id), change);
  }

  async markGone(instanceId: string, bindingId?: string): Promise<boolean> {
    const key = keys.gone(instanceId, bindingId);
    const record = bindingId === undefined ? keys.instance(instanceId) : keys.binding(instanceId, bindingId);
    try {
      const { committed } = await this.#commit({
        checks: new Map([[record, ABSENT]]),
        puts: new Map([[key, { schema: 1 }]]),
        deletes: [],
        history: new Set([key]),
      });
      return committed;
    } catch (error) {
      // Without space nothing that is on its way can be made either.
      if (!isNoSpace(error)) {
        throw error;
      }
      return true;
    }
  }

  async #carryOut(transaction: Transaction, change: RecordChange): Promise<ChangeResult> {
    const commit = await this.#commit(transaction).catch((error: unknown) => {
      if (!isNoSpace(error) || !isRemoval(change)) {
        throw error;
      }
      // Deleting is what makes room; the history of what is deleted is not worth failing for.
      for (const key of transaction.history) {
        transaction.puts.delete(key);
      }
      transaction.history.clear();
      return this.#send(transaction, undefined);
    });
    const mark = commit.committed ? undefined : overtakenBy(transaction, commit.current);
    if (mark !== undefined && performance.now() < (change.until ?? 0)) {
      transaction.checks.set(mark.key, mark.revision);
      return this.#carryOut(transaction, change);
    }
    if (commit.committed) {
      for (const { kind, state } of change.finished ?? []) {
        this.onFinished(kind, state);
      }
      return { done: true, revision: commit.revision };
    }
    const { instance, binding } = change;
    const currentInstance = instance && commit.current.get(keys.instance(instance.id));
    const currentBinding =
      binding && commit.current.get(keys.binding(binding.instance_id, binding.binding_id));
    return {
      done: false,
      ...(currentInstance === undefined ? {} : { instance: currentInstance as Stored<InstanceRecord> }),
      ...(currentBinding === undefined ? {} : { binding: currentBinding as Stored<BindingRecord> }),
    };
  }

  async #commit(transaction: Transaction): Promise<Commit> {
    if (transaction.history.size === 0) {
      return this.#send(transaction, undefined);
    }
    try {
      return await this.#send(transaction, await this.historyLease.current());
    } catch (error) {
      // Somebody revoked the lease, or the cluster was restored from a backup that did not have it.
      if (!(error instanceof EtcdError && error.kind === 'not-found')) {
        throw error;
      }
      this.historyLease.forget();
      return this.#send(transaction, await this.historyLease.current());
    }
  }

  async #send(transaction: Transaction, history: string | undefined): Promise<Commit> {
    const checked = [...transaction.checks.keys()];
    const request = toRequest(transaction, history);
    const response = await this.#batches.commit(request);
    if (response.succeeded) {
      return { committed: true, revision: response.header.revision };
    }
    const current = new Map<string, Stored<unknown>>();
    for (const [index, answer] of response.responses.entries()) {
      const kv = answer.response_range.kvs[0];
      const key = checked[index] as string;
      if (kv !== undefined) {
        // An attempt whose answer was lost may have been this very change. Each change of a checked record is
        // unlike all others (it names a new operation, or ends one), so equal bytes are its own.
        const put = transaction.puts.get(key);
        if (put !== undefined && kv.value.equals(encode(put))) {
          return { committed: true, revision: kv.mod_revision };
        }
        current.set(key, stored(kv));
      }
    }
    return { committed: false, current };
  }

  async sessionLives(owner: string): Promise<boolean> {
    const { count } = await this.connection.kv.range({
      key: Buffer.from(keys.owner(owner)),
      count_only: true,
    });
    return Number(count) > 0;
  }

  async #put(key: string, value: unknown): Promise<void> {
    await this.connection.kv.put({ key: Buffer.from(key), value: encode(value) });
  }

  async #read<T>(key: string): Promise<Stored<T> | undefined> {
    const { kvs } = await this.connection.kv.range({ key: Buffer.from(key) });
    return kvs[0] && stored<T>(kvs[0]);
  }

  async *#all<T>(prefix: string, page: number): AsyncGenerator<Stored<T>> {
    for await (const kv of this.#kvs(prefix, page)) {
      yield stored<T>(kv);
    }
  }

  async *#kvs(prefix: string, page: number): AsyncGenerator<IKeyValue> {
    const range = rangeOfPrefix(prefix);
    for (;;) {
      const { kvs, more } = await this.connection.kv.range({ ...range, limit: page });
      yield* kvs;
      const last = kvs.at(-1);
      if (!more || last === undefined) {
        return;
      }
      range.key = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }
}

function isNoSpace(error: unknown): boolean {
  return error instanceof EtcdError && error.kind === 'no-space';
}

/** The mark of a deletion that a creation did not know of when it was sent. */
function overtakenBy(
  { checks }: Transaction,
  current: ReadonlyMap<string, Stored<unknown>>,
): { key: string; revision: string } | undefined {
  for (const [key, { revision }] of current) {
    if (key.startsWith(keys.allGone) && checks.get(key) !== revision) {
      return { key, revision };
    }
  }
  return undefined;
}

/** Whether a change writes nothing but the history of what it deletes. */
function isRemoval({ instance, binding, opened }: RecordChange): boolean {
  return opened === undefined && !instance?.next && !binding?.next;
}

function stored<T>(kv: IKeyValue): Stored<T> {
  return { value: JSON.parse(kv.value.toString('utf8')) as T, revision: kv.mod_revision };
}
