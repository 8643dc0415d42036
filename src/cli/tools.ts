import { AccessControl } from '../clusters/access-control.js';
import { Connection } from '../clusters/connection.js';
import { runningEmbeddedCluster } from '../clusters/embedded/running.js';
import { Inventory } from '../clusters/inventory.js';
import { TenantKeys } from '../clusters/tenant-keys.js';
import { readConfig } from '../config.js';
import { keptEncryptionKey } from '../credentials/kept-secrets.js';
import { Sealer } from '../credentials/seal.js';
import { HistoryLease } from '../records/history-lease.js';
import { RecordStore } from '../records/record-store.js';

/** What the operator's commands work with. */
export interface Tools {
  records: RecordStore;
  inventory: Inventory;
  access: AccessControl;
  tenantKeys: TenantKeys;
  seals: Sealer;
  close(): void;
}

/**
 * Connects to the broker's cluster with the broker's own settings. Works beside running brokers.
 * @throws ConfigError or another Error with one line for the operator
 */
export async function openTools(env: NodeJS.ProcessEnv): Promise<Tools> {
  const config = readConfig(env);
  const isEmbedded = config.cluster.kind === 'embedded';
  const address =
    config.cluster.kind === 'external' ? config.cluster : await runningEmbeddedCluster(config.dataDir);
  const keys = config.encryptionKeys;
  const seals = new Sealer(
    keys.length === 0 && isEmbedded ? [await keptEncryptionKey(config.dataDir)] : keys,
  );
  const connection = new Connection(address);
  // The commands change records as any replica does, but own no operation.
  const records = new RecordStore(connection, new HistoryLease(connection), { id: 'none' });
  return {
    records,
    inventory: new Inventory(connection),
    access: new AccessControl(connection),
    tenantKeys: new TenantKeys(connection),
    seals,
    close: () => connection.close(),
  };
}
