import { AccessControl } from '../cluster/access-control.js';
import { withDomainErrors } from '../cluster/domain-errors.js';
import { Inventory } from '../cluster/inventory.js';
import { checkExternalCluster } from '../cluster/start-up-checks.js';
import { TenantKeys } from '../cluster/tenant-keys.js';
import { type Config, readConfig } from '../config/config.js';
import { type EncryptionKey, Sealer } from '../credentials/seal.js';
import { presentEncryptionKey } from '../embedded/kept-secrets.js';
import { runningEmbeddedCluster } from '../embedded/running.js';
import { EtcdClient, within } from '../etcd/client.js';
import { EtcdError } from '../etcd/errors.js';
import { HistoryLease } from '../records/history-lease.js';
import { RecordStore } from '../records/record-store.js';

/** How long the embedded etcd of a running broker may take to answer, in milliseconds. */
const REACH_TIMEOUT_MS = 5_000;

/** What the operator's commands work with. */
export interface Tools {
  records: RecordStore;
  inventory: Inventory;
  access: AccessControl;
  tenantKeys: TenantKeys;
  /** Throws when no encryption key is to be had; not every command needs one. */
  readonly seals: Sealer;
  close(): void;
}

/**
 * Connects to the broker's cluster with the broker's own settings. Works beside running brokers, and makes nothing.
 * @throws ConfigError, ClusterUnusable or another Error with one line for the operator
 */
export async function openTools(env: NodeJS.ProcessEnv): Promise<Tools> {
  const config = readConfig(env);
  const address =
    config.cluster.kind === 'external' ? config.cluster : await runningEmbeddedCluster(config.dataDir);
  const keys = await encryptionKeys(config);
  const connection = new EtcdClient(address);
  // The commands change records as any replica does, but own no operation.
  const records = new RecordStore(connection, new HistoryLease(connection), { id: 'none' });
  try {
    await assertUsable(config, connection, records);
  } catch (error) {
    connection.close();
    throw error;
  }
  return {
    records: withDomainErrors(records),
    inventory: withDomainErrors(new Inventory(connection)),
    access: withDomainErrors(new AccessControl(connection)),
    tenantKeys: withDomainErrors(new TenantKeys(connection)),
    get seals() {
      if (keys.length === 0) {
        throw new Error(
          `DATA_DIR ${config.dataDir} holds no encryption key. Set BROKER_ENCRYPTION_KEY to the broker's.`,
        );
      }
      return new Sealer(keys);
    },
    close: () => connection.close(),
  };
}

async function encryptionKeys({ encryptionKeys: set, dataDir }: Config): Promise<readonly EncryptionKey[]> {
  if (set.length > 0) {
    return set;
  }
  const kept = await presentEncryptionKey(dataDir);
  return kept === undefined ? [] : [kept];
}

/** Says what is wrong with the cluster before a command finds it out by an error that explains nothing. */
async function assertUsable(
  { cluster, dataDir }: Config,
  connection: EtcdClient,
  records: RecordStore,
): Promise<void> {
  if (cluster.kind === 'external') {
    // Looking must not change anything, whatever the broker itself is told to do.
    return checkExternalCluster(connection, { ...cluster, enableAuth: false }, () => undefined);
  }
  try {
    await records.counts(within(REACH_TIMEOUT_MS));
  } catch (error) {
    if (error instanceof EtcdError && (error.kind === 'unavailable' || error.kind === 'timeout')) {
      throw new Error(
        `The embedded etcd of DATA_DIR ${dataDir} does not answer. It runs as long as its broker does: start the broker first.`,
      );
    }
    throw error;
  }
}
