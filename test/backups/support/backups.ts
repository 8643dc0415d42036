import { randomBytes } from 'node:crypto';
import { BackupRecords } from '../../../src/backups/backup-records.js';
import { Backups } from '../../../src/backups/backups.js';
import { LONGEST_PAGE_BYTES } from '../../../src/backups/cut.js';
import type { BackupStore } from '../../../src/backups/stores/store.js';
import { TenantKeys } from '../../../src/cluster/tenant-keys.js';
import { encryptionKey, Sealer } from '../../../src/credentials/seal.js';
import { Secret } from '../../../src/credentials/secret.js';
import { EtcdClient } from '../../../src/etcd/client.js';

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** Backups on a cluster, with a client of their own. @param root signed in as root */
export function backupsOn(root: EtcdClient, store: BackupStore, key = randomBytes(32).toString('base64')) {
  const client = new EtcdClient({ ...root.address, maxMessageBytes: LONGEST_PAGE_BYTES });
  const backups = new Backups({
    client,
    store,
    records: new BackupRecords(client),
    seals: new Sealer([encryptionKey(new Secret(key))]),
    tenantKeys: new TenantKeys(client),
    etcdVersion: async () => (await client.maintenance.status()).version,
    log: quiet,
  });
  return { backups, close: () => client.close() };
}

/** An instance that no record knows. */
export function someInstance() {
  return {
    instance_id: `i-${randomBytes(4).toString('hex')}`,
    deployment_id: randomBytes(12).toString('hex'),
    service_id: 's',
    plan_id: 'p',
    organization_guid: 'o',
    space_guid: 'here',
  };
}
