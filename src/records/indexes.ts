import type { BindingRecord, InstanceRecord, OperationRecord } from '../broker/model.js';
import type { IndexFault } from '../broker/ports.js';
import type { EtcdClient } from '../etcd/client.js';
import { keys } from './keys.js';
import type { RecordReader } from './reading.js';
import { encode, indexEntries } from './transaction-plan.js';

const PAGE = 1_000;

/** Checks and repairs the indexes by which records are found. */
export class Indexes {
  constructor(
    readonly connection: EtcdClient,
    readonly reader: RecordReader,
  ) {}

  /**
   * Compares the indexes of deployments, of applications and of what is to expire with the records, and finds what
   * portals keep of instances that are gone.
   */
  async faults(
    instances: readonly InstanceRecord[],
    bindings: readonly BindingRecord[],
  ): Promise<IndexFault[]> {
    const faults: IndexFault[] = [];
    const expected = indexEntries(instances, bindings);
    for (const prefix of [keys.deployments, keys.applications, keys.expiring]) {
      for await (const kv of this.reader.kvs(prefix, PAGE, true)) {
        const key = kv.key.toString('utf8');
        if (!expected.delete(key)) {
          faults.push({ kind: 'stray', key });
        }
      }
    }
    const deployments = new Set(instances.map(({ deployment_id }) => deployment_id));
    for (const prefix of [keys.portalFloors, keys.portalScans]) {
      for await (const kv of this.reader.kvs(prefix, PAGE, true)) {
        const key = kv.key.toString('utf8');
        const [deployment = ''] = key.slice(prefix.length).split('/');
        if (!deployments.has(deployment)) {
          faults.push({ kind: 'stray', key });
        }
      }
    }
    return [...faults, ...[...expected].map(([key, value]): IndexFault => ({ kind: 'missing', key, value }))];
  }

  /** Puts an entry into an index, or takes it out. */
  async repair({ kind, key, value }: IndexFault): Promise<void> {
    if (kind === 'missing') {
      await this.#put(key, value);
    } else {
      await this.connection.kv.deleteRange({ key: Buffer.from(key) });
    }
  }

  /** Puts an operation into the index of open operations again. */
  async addOpenOperation(operation: OperationRecord): Promise<void> {
    await this.#put(keys.openOperation(operation.id), operation);
  }

  /** Takes an operation out of the index of open operations. */
  async dropOpenOperation(operationId: string): Promise<void> {
    await this.connection.kv.deleteRange({ key: Buffer.from(keys.openOperation(operationId)) });
  }

  async #put(key: string, value: unknown): Promise<void> {
    await this.connection.kv.put({ key: Buffer.from(key), value: encode(value) });
  }
}
