import { MalformedRecord } from '../broker/errors.js';
import {
  type BindingRecord,
  clusterOf,
  type InstanceRecord,
  isPlatforms,
  type OperationRecord,
  type Stored,
} from '../broker/model.js';
import type { ChangeResult, IndexFault, OnMalformed, RecordChange, Records } from '../broker/ports.js';
import type { Deadline, EtcdClient } from '../etcd/client.js';
import { rangeOfPrefix } from '../etcd/ranges.js';
import { Changes, type OnFinished } from './changing.js';
import { EtcdCommits } from './etcd-commits.js';
import type { HistoryLease } from './history-lease.js';
import { Indexes } from './indexes.js';
import { decodeId, keys } from './keys.js';
import {
  BINDING_FIELDS,
  decode,
  type Fields,
  INSTANCE_FIELDS,
  OPERATION_FIELDS,
  RecordReader,
  rawOf,
} from './reading.js';

/** Among so many a platform's latest operation is looked for: people make others. */
const MOST_LOOKED_AT = 50;
const PAGE = 100;
/** So many operations under way are looked at in one go. */
const MOST_OPEN = 5_000;
const MOST_DUE = 100;
const DEPLOYMENT_FIELDS: Fields<{ instance_id: string }> = ['instance_id'];

/**
 * The broker's records in etcd.
 *
 * Public methods throw `EtcdError` when etcd does not answer or refuses, and `MalformedRecord` when what they read
 * is not a record.
 */
export class RecordStore implements Records {
  readonly #reader: RecordReader;
  readonly #changes: Changes;
  readonly #indexes: Indexes;

  /**
   * @param session this replica's
   * @param onFinished is told of each operation that ended with a change made here
   */
  constructor(
    readonly connection: EtcdClient,
    historyLease: HistoryLease,
    session: { readonly id: string },
    onFinished?: OnFinished,
  ) {
    this.#reader = new RecordReader(connection);
    this.#changes = new Changes(new EtcdCommits(connection, historyLease), session, onFinished);
    this.#indexes = new Indexes(connection, this.#reader);
  }

  readInstance(instanceId: string): Promise<Stored<InstanceRecord> | undefined> {
    return this.#reader.one(keys.instance(instanceId), INSTANCE_FIELDS);
  }

  readBinding(instanceId: string, bindingId: string): Promise<Stored<BindingRecord> | undefined> {
    return this.#reader.one(keys.binding(instanceId, bindingId), BINDING_FIELDS);
  }

  /** The instance that a deployment id belongs to. */
  async readInstanceOfDeployment(deploymentId: string): Promise<Stored<InstanceRecord> | undefined> {
    const index = await this.#reader.one(keys.deployment(deploymentId), DEPLOYMENT_FIELDS);
    return index && this.readInstance(index.value.instance_id);
  }

  async readOperation(
    instanceId: string,
    bindingId: string | undefined,
    operationId: string | undefined,
  ): Promise<OperationRecord | undefined> {
    if (operationId === undefined) {
      const prefix = keys.operationsOf(instanceId, bindingId);
      const latest = await this.#reader.newest(prefix, OPERATION_FIELDS, MOST_LOOKED_AT);
      return latest.find(({ value }) => isPlatforms(value))?.value;
    }
    // It is in one of two places, so both are read at one moment.
    const places = [keys.operation(instanceId, bindingId, operationId), keys.openOperation(operationId)];
    const { responses } = await this.connection.kv.txn({
      success: places.map((key) => ({ request_range: { key: Buffer.from(key) } })),
    });
    const [kv] = responses.flatMap(({ response_range }) => response_range.kvs);
    const operation = kv && decode(rawOf(kv), OPERATION_FIELDS).value;
    const isTheirs = operation?.instance_id === instanceId && operation.binding_id === bindingId;
    return isTheirs ? operation : undefined;
  }

  /** The operations on an instance and its bindings that ended last, the newest first. */
  async recentOperations(instanceId: string, limit: number): Promise<OperationRecord[]> {
    const ended = await Promise.all(
      [keys.operationsOf(instanceId), keys.operationsOnBindingsOf(instanceId)].map((prefix) =>
        this.#reader.newest(prefix, OPERATION_FIELDS, limit, () => undefined),
      ),
    );
    return ended
      .flat()
      .map(({ value }) => value)
      .sort((one, other) => (other.finished_at ?? '').localeCompare(one.finished_at ?? ''))
      .slice(0, limit);
  }

  /** Bindings of an instance, or of all instances, a page of records at a time, in the order of their keys. */
  bindings(
    instanceId?: string,
    onMalformed?: OnMalformed,
    page = PAGE,
  ): AsyncGenerator<Stored<BindingRecord>> {
    const prefix = instanceId === undefined ? keys.bindings : keys.bindingsOf(instanceId);
    return this.#reader.all(prefix, BINDING_FIELDS, page, onMalformed);
  }

  /** All instances, in the same way. */
  instances(onMalformed?: OnMalformed, page = PAGE): AsyncGenerator<Stored<InstanceRecord>> {
    return this.#reader.all(keys.instances, INSTANCE_FIELDS, page, onMalformed);
  }

  async openOperations(
    limit = MOST_OPEN,
    onMalformed?: OnMalformed,
  ): Promise<{ operations: OperationRecord[]; owners: Set<string> }> {
    // The operations first: an owner that is missing afterwards was gone when its operation was still open.
    const open = await this.#reader.first(keys.open, OPERATION_FIELDS, limit, onMalformed);
    if (open.length === 0) {
      return { operations: [], owners: new Set() };
    }
    const owners = await this.connection.kv.range({ ...rangeOfPrefix(keys.owners), keys_only: true });
    return {
      operations: open.map(({ value }) => value),
      owners: new Set(owners.kvs.map((kv) => kv.key.toString('utf8').slice(keys.owners.length))),
    };
  }

  async sessionLives(owner: string): Promise<boolean> {
    const range = { key: Buffer.from(keys.owner(owner)), count_only: true };
    return Number((await this.connection.kv.range(range)).count) > 0;
  }

  async recordedNames(cluster: string): Promise<Set<string>> {
    const names = new Set<string>();
    for await (const { value } of this.bindings()) {
      if (clusterOf(value) === cluster) {
        names.add(value.role).add(value.username);
      }
    }
    return names;
  }

  async storedBytes(deploymentId: string): Promise<number | undefined> {
    const { kvs } = await this.connection.kv.range({ key: Buffer.from(keys.portalScan(deploymentId)) });
    // As `portal/limits/share-records.ts` writes it: a revision and the bytes.
    const bytes = Number.parseInt(kvs[0]?.value.toString('latin1').split(' ')[1] ?? '', 10);
    return Number.isNaN(bytes) ? undefined : bytes;
  }

  async nextDue(): Promise<number | undefined> {
    const range = { ...rangeOfPrefix(keys.expiring), limit: 1, keys_only: true };
    const [first] = (await this.connection.kv.range(range)).kvs;
    const due = Number.parseInt(first?.key.toString('utf8').slice(keys.expiring.length) ?? '', 10);
    return Number.isNaN(due) ? undefined : due;
  }

  /** Bindings whose time is up, the earliest first, at most `limit` of them. */
  async dueBindings(nowMs: number, limit = MOST_DUE): Promise<{ instance_id: string; binding_id: string }[]> {
    const { kvs } = await this.connection.kv.range({
      key: Buffer.from(keys.expiring),
      range_end: Buffer.from(keys.expiringBefore(nowMs)),
      limit,
      keys_only: true,
    });
    return kvs.map(({ key }) => {
      const [, instance = '', binding = ''] = key.toString('utf8').slice(keys.expiring.length).split('/');
      return { instance_id: decodeId(instance), binding_id: decodeId(binding) };
    });
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

  change(change: RecordChange): Promise<ChangeResult> {
    return this.#changes.change(change);
  }

  markGone(instanceId: string, bindingId?: string): Promise<boolean> {
    return this.#changes.markGone(instanceId, bindingId);
  }

  async dropMalformed(key: string): Promise<void> {
    const raw = await this.#reader.raw(key);
    if (raw === undefined) {
      return;
    }
    try {
      decode<Record<string, unknown>>(raw, fieldsOf(key));
    } catch (error) {
      if (!(error instanceof MalformedRecord)) {
        throw error;
      }
      await this.#changes.drop(key, raw.revision);
    }
  }

  /** Compares the indexes with the records. */
  indexFaults(
    instances: readonly InstanceRecord[],
    bindings: readonly BindingRecord[],
  ): Promise<IndexFault[]> {
    return this.#indexes.faults(instances, bindings);
  }

  /** For repairs: puts an entry into an index, or takes it out. */
  mendIndex(fault: IndexFault): Promise<void> {
    return this.#indexes.repair(fault);
  }

  /** For repairs: puts an operation into the index of open operations again. */
  indexOpenOperation(operation: OperationRecord): Promise<void> {
    return this.#indexes.addOpenOperation(operation);
  }

  /** For repairs: takes an operation out of the index of open operations. */
  forgetOpenOperation(operationId: string): Promise<void> {
    return this.#indexes.dropOpenOperation(operationId);
  }
}

/** What a record under this key must have. */
function fieldsOf(key: string): readonly string[] {
  if (key.startsWith(keys.bindings)) {
    return BINDING_FIELDS;
  }
  return key.startsWith(keys.instances) ? INSTANCE_FIELDS : OPERATION_FIELDS;
}
