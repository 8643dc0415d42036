import { randomBytes } from 'node:crypto';
import type { BindingRecord, InstanceRecord, Stored } from '../../src/broker/model.js';
import { openOperation, workOf } from '../../src/broker/operations/operations.js';
import { Sealer } from '../../src/credentials/seal.js';
import { Secret } from '../../src/credentials/secret.js';
import { keptEncryptionKey } from '../../src/embedded/kept-secrets.js';
import type { EtcdClient } from '../../src/etcd/client.js';
import { HistoryLease } from '../../src/records/history-lease.js';
import { keys } from '../../src/records/keys.js';
import { RecordStore } from '../../src/records/record-store.js';
import type { TestBroker } from './broker.js';
import { rootConnection } from './root-connection.js';

/**
 * A second replica of a test's broker that takes on operations and gets no further: so an operation stays under
 * way for as long as a test needs. When it leaves, the broker takes its work over.
 */
export class OtherReplica {
  readonly id = `other-${randomBytes(4).toString('hex')}`;
  readonly records: RecordStore;
  #gone = false;

  private constructor(
    readonly broker: TestBroker,
    readonly connection: EtcdClient,
    readonly seals: Sealer,
  ) {
    this.records = new RecordStore(connection, new HistoryLease(connection), { id: this.id });
  }

  static async join(broker: TestBroker): Promise<OtherReplica> {
    const connection = await rootConnection(broker);
    const seals = new Sealer([await keptEncryptionKey(broker.dataDir)]);
    const replica = new OtherReplica(broker, connection, seals);
    await connection.kv.put({ key: Buffer.from(keys.owner(replica.id)), value: Buffer.from('{"schema":1}') });
    return replica;
  }

  /** Writes down the intent to make a binding. @returns the operation's id */
  async beginBind(instance_id: string, binding_id: string): Promise<string> {
    const instance = (await this.records.readInstance(instance_id)) as Stored<InstanceRecord>;
    const { deployment_id, service_id, plan_id } = instance.value;
    const operation = openOperation('bind', { instance_id, binding_id }, this.id);
    const unique = randomBytes(8).toString('hex');
    const name = `d-${deployment_id}-${unique}`;
    const next: BindingRecord = {
      schema: 1,
      instance_id,
      binding_id,
      state: 'binding',
      deployment_id,
      attributes: { service_id, plan_id, parameters: {} },
      role: name,
      username: name,
      key_space: `_${unique}`,
      key_prefix: `/d/${deployment_id}/_${unique}/`,
      access: 'readwrite',
      sealed_password: this.seals.seal(new Secret(randomBytes(24).toString('base64url')), name),
      created_at: operation.started_at,
      work: workOf(operation),
    };
    await this.#begin({
      instance: { id: instance_id, expected: instance },
      binding: { instance_id, binding_id, expected: undefined, next },
      opened: operation,
    });
    return operation.id;
  }

  /** Writes down the intent to remove a binding. @returns the operation's id */
  async beginUnbind(instance_id: string, binding_id: string): Promise<string> {
    const expected = (await this.records.readBinding(instance_id, binding_id)) as Stored<BindingRecord>;
    const operation = openOperation('unbind', { instance_id, binding_id }, this.id);
    const next: BindingRecord = { ...expected.value, state: 'unbinding', work: workOf(operation) };
    await this.#begin({ binding: { instance_id, binding_id, expected, next }, opened: operation });
    return operation.id;
  }

  /** Writes down the intent to delete an instance. @returns the operation's id */
  async beginDeprovision(instance_id: string): Promise<string> {
    const expected = (await this.records.readInstance(instance_id)) as Stored<InstanceRecord>;
    const operation = openOperation('deprovision', { instance_id }, this.id);
    const next: InstanceRecord = { ...expected.value, state: 'deprovisioning', work: workOf(operation) };
    await this.#begin({ instance: { id: instance_id, expected, next }, opened: operation });
    return operation.id;
  }

  /** Dies: its sign of life vanishes, and what it had begun is anybody's. */
  async leave(): Promise<void> {
    if (this.#gone) {
      return;
    }
    this.#gone = true;
    await this.connection.kv.deleteRange({ key: Buffer.from(keys.owner(this.id)) });
    this.connection.close();
  }

  async #begin(change: Parameters<RecordStore['change']>[0]): Promise<void> {
    // The replica's own sign of life is checked with it, as for any replica.
    const result = await this.records.change(change);
    if (!result.done) {
      throw new Error('The records changed meanwhile');
    }
  }
}
