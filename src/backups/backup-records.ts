import { type EtcdClient, within } from '../etcd/client.js';
import { grantLease, keepAlive } from '../etcd/leases.js';
import { pagedRange, rangeOfPrefix } from '../etcd/ranges.js';
import { keys } from '../records/keys.js';
import type { BackupManifest } from './manifest.js';

const PAGE = 500;
/** At most so many backups are made at the same time for a cluster. */
const SLOTS = 2;
const CLAIM_TTL_SECONDS = 20;
const CLAIM_BEAT_MS = 5_000;
const CALL_TIMEOUT_MS = 4_000;

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

  /**
   * @param isUrgent whether it goes before the schedule's, without one of their places
   * @returns undefined when a backup of the deployment is being made, or as many as may be
   */
  async claim(deploymentId: string, isUrgent = false): Promise<BackupClaim | undefined> {
    const lease = await grantLease(this.client, CLAIM_TTL_SECONDS, within(CALL_TIMEOUT_MS));
    const name = keys.backupUnderWay(deploymentId);
    const places = isUrgent
      ? [undefined]
      : Array.from({ length: SLOTS }, (_, number) => keys.backupPlace(number));
    for (const place of places) {
      const taken = place === undefined ? [name] : [name, place];
      const { succeeded } = await this.client.kv.txn({
        compare: taken.map((key) => ({
          key: Buffer.from(key),
          target: 'Create',
          result: 'Equal',
          create_revision: '0',
        })),
        success: taken.map((key) => ({
          request_put: { key: Buffer.from(key), value: Buffer.from('{}'), lease },
        })),
        failure: [],
      });
      if (succeeded) {
        return this.#hold(lease);
      }
    }
    await this.client.lease.leaseRevoke({ ID: lease });
    return undefined;
  }

  #hold(lease: string): BackupClaim {
    const lost = new AbortController();
    let heardAt = performance.now();
    const timer = setInterval(() => {
      keepAlive(this.client, lease, within(CALL_TIMEOUT_MS)).then(
        (ttl) => {
          heardAt = ttl > 0 ? performance.now() : Number.NEGATIVE_INFINITY;
        },
        () => undefined, // the time since the last answer tells
      );
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
