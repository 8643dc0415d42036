import type { IRequestOp } from 'etcd3';
import type { InstanceRecord, OperationRecord } from '../broker/model.js';
import { NOBODY, openOperation } from '../broker/operations/operations.js';
import { restoringFrom } from '../broker/operations/restoring.js';
import type { StreamKeys } from '../broker/ports.js';
import type { EtcdClient } from '../etcd/client.js';
import { pagedRange, rangeOfPrefix } from '../etcd/ranges.js';
import { keys } from '../records/keys.js';
import { readBackup } from './format/read.js';
import { BackupDamaged, type BackupHeader, type BackupRecord, type BackupTrailer } from './format/records.js';
import { backupBytes } from './format/write.js';
import type { BackupManifest } from './manifest.js';

/** A copy of the broker's records is a backup of no deployment, with one key space of this name. */
const NOTHING = '0'.repeat(24);
const KEY_SPACE = 'records';
const PAGE = 500;
/** Well below etcd's `--max-txn-ops`. */
const MOST_PUTS = 64;
/** What hangs on leases, or speaks of revisions of the cluster that was. */
const LEFT_OUT = [
  keys.owners,
  keys.allGone,
  keys.operations,
  keys.probe,
  keys.portalFloors,
  keys.portalUsage,
  keys.backupsUnderWay,
  keys.backupPlaces,
];

/** The records at one revision, sealed as backups are. @param onEnd is told how many there were */
export async function* recordsBytes(
  client: EtcdClient,
  seals: StreamKeys,
  etcdVersion: string,
  onEnd: (trailer: BackupTrailer) => void,
): AsyncGenerator<Buffer> {
  const header: BackupHeader = {
    format: 1,
    backup_id: NOTHING,
    deployment_id: NOTHING,
    instance_id: '',
    service_id: '',
    plan_id: '',
    revision: '',
    etcd_version: etcdVersion,
    created_at: new Date().toISOString(),
  };
  yield* backupBytes(() => header, pages(client), seals, onEnd);
}

async function* pages(client: EtcdClient): AsyncGenerator<BackupRecord[]> {
  yield [{ type: 'key space', name: KEY_SPACE }];
  let page: BackupRecord[] = [];
  for await (const { key, value } of pagedRange(client.kv, rangeOfPrefix(keys.root), PAGE)) {
    const name = key.toString('utf8');
    if (!LEFT_OUT.some((prefix) => name.startsWith(prefix))) {
      page.push({ type: 'key', key: key.subarray(keys.root.length), value, lease: 0n });
    }
    if (page.length >= PAGE) {
      yield page;
      page = [];
    }
  }
  yield page;
}

export interface RecordsRestored {
  records: number;
  /** Instances whose keys come out of a backup as soon as a broker runs. */
  restoring: number;
  /** Instances that had no backup: they have no keys. */
  empty: number;
}

/**
 * Puts copied records into a cluster that has lost them. Instances with a backup become `restoring`, which any broker
 * carries out.
 * @param newest the newest backup of a deployment
 * @throws Error when there are instances already, BackupDamaged, SealError
 */
export async function restoreRecords(
  client: EtcdClient,
  seals: StreamKeys,
  pieces: AsyncIterable<Uint8Array>,
  newest: (deploymentId: string) => BackupManifest | undefined,
): Promise<RecordsRestored> {
  const { count } = await client.kv.range({ ...rangeOfPrefix(keys.instances), count_only: true });
  if (count !== '0') {
    throw new Error(
      `There are ${count} instances in the records already. Records are restored into a cluster that has none.`,
    );
  }
  const restored: RecordsRestored = { records: 0, restoring: 0, empty: 0 };
  await readBackup(pieces, seals, {
    header: ({ deployment_id }) => {
      if (deployment_id !== NOTHING) {
        throw new BackupDamaged('This is the backup of an instance, and not of the records.');
      }
    },
    records: async (records) => {
      let puts: [key: string, value: Buffer][] = [];
      for (const record of records) {
        if (record.type === 'key') {
          const key = `${keys.root}${Buffer.from(record.key).toString('utf8')}`;
          puts.push(...restoringOf(key, Buffer.from(record.value), newest, restored));
          restored.records += 1;
        }
        if (puts.length >= MOST_PUTS) {
          await put(client, puts);
          puts = [];
        }
      }
      await put(client, puts);
    },
  });
  return restored;
}

/** The record as it was; that of an instance with the work of restoring it, and with the operation of that. */
function restoringOf(
  key: string,
  value: Buffer,
  newest: (deploymentId: string) => BackupManifest | undefined,
  restored: RecordsRestored,
): [key: string, value: Buffer][] {
  if (!key.startsWith(keys.instances)) {
    return [[key, value]];
  }
  const instance = JSON.parse(value.toString('utf8')) as InstanceRecord;
  const found = newest(instance.deployment_id);
  if (instance.state !== 'ready' || found === undefined) {
    restored.empty += 1;
    return [[key, value]];
  }
  restored.restoring += 1;
  const operation: OperationRecord = openOperation('update', { instance_id: instance.instance_id }, NOBODY);
  const next = restoringFrom(instance, operation, found);
  const json = (content: object) => Buffer.from(JSON.stringify(content));
  return [
    [key, json(next)],
    [keys.openOperation(operation.id), json(operation)],
  ];
}

async function put(client: EtcdClient, puts: readonly [key: string, value: Buffer][]): Promise<void> {
  if (puts.length > 0) {
    const success = puts.map(
      ([key, value]): IRequestOp => ({ request_put: { key: Buffer.from(key), value } }),
    );
    await client.kv.txn({ compare: [], success, failure: [] });
  }
}
