import { type EtcdClient, within } from '../etcd/client.js';
import { grantLease, keepAlive } from '../etcd/leases.js';
import { pagedRange, rangeOfPrefix } from '../etcd/ranges.js';
import { keys } from '../records/keys.js';
import type { BackupManifest } from './manifest.js';

const PAGE = 500;
/** At most so many backups by the schedule are made at the same time. */
const PLACES = [0, 1].map((number) => Buffer.from(keys.backupPlace(number)));
const CLAIM_TTL_SECONDS = 20;
const CLAIM_BEAT_MS = 2_000;
const CALL_TIMEOUT_MS = 4_000;

/** Another backup of the instance is being made, or as many as may be. */
export class BackupUnderWay extends Error {
  override readonly name = 'BackupUnderWay';
}

/** How much a backup is waited for. */
export type Urgency = 'scheduled' | 'asked for' | 'last';

/** The right to make a backup of a deployment now, while nobody else does. */
export interface BackupClaim {
  /** Aborted when the right is lost, since etcd has not heard of this replica for too long. */
  readonly signal: AbortSignal;
  release(): Promise<void>;
}

/**
 * What the records say of backups: an index of the manifests in the store, by instance, and who makes one now.
 *
 * Methods throw `EtcdError`.
 */
export class BackupRecords {
  constructor(readonly client: EtcdClient) {}

  /** All, or those of one instance. An instance's name may have had several deployments. */
  async *list(instanceId?: string): AsyncGenerator<BackupManifest> {
    const prefix = instanceId === undefined ? keys.backupIndex : keys.backupsOf(instanceId);
    for await (const { value } of pagedRange(this.client.kv, rangeOfPrefix(prefix), PAGE)) {
      yield JSON.parse(value.toString('utf8')) as BackupManifest;
    }
  }

  async put(manifest: BackupManifest): Promise<void> {
    const { instance_id, deployment_id, backup_id } = manifest;
    await this.client.kv.put({
      key: Buffer.from(keys.backup(instance_id, deployment_id, backup_id)),
      value: Buffer.from(JSON.stringify(manifest)),
    });
  }

  async remove({
    instance_id,
    deployment_id,
    backup_id,
  }: Pick<BackupManifest, 'instance_id' | 'deployment_id' | 'backup_id'>): Promise<void> {
    await this.client.kv.deleteRange({
      key: Buffer.from(keys.backup(instance_id, deployment_id, backup_id)),
    });
  }

  async isUnderWay(deploymentId: string): Promise<boolean> {
    const key = Buffer.from(keys.backupUnderWay(deploymentId));
    return (await this.client.kv.range({ key, count_only: true })).count === '1';
  }

  /**
   * @param urgency `scheduled` needs one of the places and stands back; `asked for` takes the place of a scheduled one,
   * which ends; `last` takes anybody's
   * @returns undefined when a backup of the deployment is being made that it does not replace, or as many as may be
   */
  async claim(deploymentId: string, urgency: Urgency): Promise<BackupClaim | undefined> {
    const lease = await grantLease(this.client, CLAIM_TTL_SECONDS, within(CALL_TIMEOUT_MS));
    const name = Buffer.from(keys.backupUnderWay(deploymentId));
    const { kvs } = await this.client.kv.range({ key: name });
    const [other] = kvs;
    const isReplaced =
      urgency === 'last' || (urgency === 'asked for' && other?.value.toString('latin1') === 'scheduled');
    if (other === undefined || isReplaced) {
      const places = urgency === 'scheduled' ? PLACES : [undefined];
      for (const place of places) {
        const put = (key: Buffer) => ({ request_put: { key, value: Buffer.from(urgency, 'latin1'), lease } });
        const { succeeded, header } = await this.client.kv.txn({
          compare: [
            { key: name, target: 'Mod', result: 'Equal', mod_revision: other?.mod_revision ?? '0' },
            ...(place === undefined
              ? []
              : [{ key: place, target: 'Create', result: 'Equal', create_revision: '0' } as const]),
          ],
          success: [put(name), ...(place === undefined ? [] : [put(place)])],
          failure: [],
        });
        if (succeeded) {
          return this.#hold(name, header.revision, lease);
        }
      }
    }
    await this.client.lease.leaseRevoke({ ID: lease });
    return undefined;
  }

  #hold(name: Buffer, revision: string, lease: string): BackupClaim {
    const lost = new AbortController();
    let heardAt = performance.now();
    const beat = async () => {
      const [ttl, { kvs }] = await Promise.all([
        keepAlive(this.client, lease, within(CALL_TIMEOUT_MS)),
        this.client.kv.range({ key: name }, within(CALL_TIMEOUT_MS)),
      ]);
      if (ttl <= 0 || kvs[0]?.mod_revision !== revision) {
        lost.abort(new BackupUnderWay('Another backup of the instance has taken the place of this one.'));
      }
      heardAt = performance.now();
    };
    const timer = setInterval(() => {
      beat().catch(() => undefined); // the time since the last answer tells
      if (performance.now() - heardAt > CLAIM_TTL_SECONDS * 1_000) {
        lost.abort(new Error('etcd was not heard of for so long that the backup is given up'));
      }
    }, CLAIM_BEAT_MS);
    timer.unref();
    return {
      signal: lost.signal,
      release: async () => {
        clearInterval(timer);
        await this.client.lease.leaseRevoke({ ID: lease }).catch(() => undefined); // it runs out by itself
      },
    };
  }
}
