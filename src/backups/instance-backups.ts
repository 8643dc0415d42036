import { SealError } from '../broker/errors.js';
import type { BackupSource, InstanceRecord, Stored } from '../broker/model.js';
import type { BeforeStep, InstanceBackups } from '../broker/ports.js';
import { RestoreImpossible } from '../broker/restore-errors.js';
import type { Catalog } from '../catalog/types.js';
import { keys } from '../records/keys.js';
import type { Backups } from './backups.js';
import { BackupDamaged } from './format/records.js';
import type { BackupManifest } from './manifest.js';
import { StoreError } from './stores/store.js';

/** A store that fails for longer does not keep an instance from being deleted, in milliseconds. */
const LAST_BACKUP_WITHIN_MS = 300_000;

export interface InstanceBackupsParts {
  backups: Backups;
  catalog: Catalog;
  /** For how long the backups of a deleted instance stay, in milliseconds; 0 makes no last one. */
  graceMs: number;
  restoreAcross: 'space' | 'organization' | 'all';
}

/** What the verbs need of backups. */
export class BackupsOfInstances implements InstanceBackups {
  /** When the last backup of a deployment failed first, on the monotonic clock. */
  readonly #failing = new Map<string, number>();

  constructor(readonly parts: InstanceBackupsParts) {}

  coversPlan(serviceId: string, planId: string): boolean {
    // A plan that the operator has taken out of the catalog goes on as it was.
    return this.parts.catalog.findPlan(serviceId, planId)?.settings.hasBackups ?? true;
  }

  async find(
    instanceId: string,
    backupId: string,
    owner: Pick<InstanceRecord, 'organization_guid' | 'space_guid'>,
  ): Promise<BackupSource | undefined> {
    const found = await this.parts.backups.find(instanceId, backupId);
    if (found === undefined || !this.#mayRestore(found, owner)) {
      return undefined;
    }
    const { instance_id, deployment_id, backup_id, keys } = found;
    return { instance_id, deployment_id, backup_id, keys };
  }

  #mayRestore(
    found: BackupManifest,
    owner: Pick<InstanceRecord, 'organization_guid' | 'space_guid'>,
  ): boolean {
    switch (this.parts.restoreAcross) {
      case 'all':
        return true;
      case 'organization':
        return found.organization_guid === owner.organization_guid;
      case 'space':
        return found.organization_guid === owner.organization_guid && found.space_guid === owner.space_guid;
    }
  }

  async takeLast(instance: InstanceRecord): Promise<void> {
    const { backups, graceMs } = this.parts;
    const { deployment_id: deployment, service_id, plan_id } = instance;
    if (graceMs === 0 || !this.coversPlan(service_id, plan_id)) {
      return;
    }
    if ((await backups.parts.tenantKeys.count(deployment)) === 0) {
      return;
    }
    try {
      // One that was made before the deletion began again: what is left by now is not the whole.
      if (!(await backups.hasFinal(deployment))) {
        await backups.take(instance, 'final');
      }
      this.#failing.delete(deployment);
    } catch (error) {
      const since = this.#failing.get(deployment) ?? performance.now();
      this.#failing.set(deployment, since);
      if (performance.now() - since < LAST_BACKUP_WITHIN_MS) {
        throw error;
      }
      this.#failing.delete(deployment);
      const details = { deployment, reason: (error as Error).message };
      backups.parts.log.error(
        details,
        'An instance is deleted without a last backup, which failed for too long',
      );
    }
  }

  /** What is there is kept, and what is to come is known to be whole, before anything is deleted. */
  async #beforeReplacing(
    source: BackupSource,
    instance: InstanceRecord,
    onProgress: (text: string) => void,
  ): Promise<void> {
    const { backups } = this.parts;
    const operationId = instance.work?.operation_id as string;
    if ((await backups.parts.tenantKeys.count(instance.deployment_id)) === 0) {
      return;
    }
    // A try before this one may have deleted already, after it had made its backup.
    const all = await backups.list(instance.instance_id);
    if (all.some(({ operation_id }) => operation_id === operationId)) {
      return;
    }
    onProgress('Reading the backup, to see that it is whole.');
    await backups.read(source);
    onProgress('Making a backup of what is there now.');
    await backups.take(instance, 'before_restore', { operationId });
  }

  async restore(
    source: BackupSource,
    { value, revision }: Stored<InstanceRecord>,
    before: BeforeStep,
    onProgress: (text: string) => void,
  ): Promise<void> {
    const key = Buffer.from(keys.instance(value.instance_id));
    const guard = [{ key, target: 'Mod', result: 'Equal', mod_revision: revision } as const];
    try {
      if (value.work?.kind !== 'provision') {
        await this.#beforeReplacing(source, value, onProgress);
      }
      await this.parts.backups.restore(source, value.deployment_id, before, {
        guard,
        onProgress: ({ keys, of }) => onProgress(`Restoring the backup: ${keys} of ${of} keys are there.`),
      });
    } catch (error) {
      const isGone = error instanceof StoreError && error.kind === 'not found';
      if (error instanceof BackupDamaged || error instanceof SealError || isGone) {
        throw new RestoreImpossible(`The backup can not be restored. ${error.message}`, { cause: error });
      }
      throw error;
    }
  }
}
