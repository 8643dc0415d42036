import type { BackupSettings } from '../config/backups.js';
import { EtcdClient } from '../etcd/client.js';
import { BackupRecords } from './backup-records.js';
import { Backups, type BackupsParts } from './backups.js';
import { LONGEST_PAGE_BYTES } from './cut.js';
import { FolderStore } from './stores/folder.js';
import { S3Store } from './stores/s3.js';
import type { BackupStore } from './stores/store.js';

export function openStore({ place }: Pick<BackupSettings, 'place'>): BackupStore {
  return place.kind === 'folder' ? new FolderStore(place.folder) : new S3Store(place);
}

/**
 * Backups on a cluster, over a connection of their own: their pages do not wait before anybody's calls, and answers
 * that are too long for memory are refused on it.
 * @param client signed in as one who may read all keys
 */
export function openBackups(
  settings: Pick<BackupSettings, 'place'>,
  client: EtcdClient,
  parts: Pick<BackupsParts, 'seals' | 'tenantKeys' | 'log'>,
): { backups: Backups; close: () => void } {
  const pages = new EtcdClient({ ...client.address, maxMessageBytes: LONGEST_PAGE_BYTES });
  const backups = new Backups({
    ...parts,
    client: pages,
    store: openStore(settings),
    records: new BackupRecords(client),
    etcdVersion: async () => (await client.maintenance.status()).version,
  });
  return { backups, close: () => pages.close() };
}
