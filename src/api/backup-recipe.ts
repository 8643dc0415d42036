import type { Backups } from '../backups/backups.js';
import type { InstanceRecord } from '../broker/model.js';

/** A backup's recipe is known by the backup that has come of it, and by the key of one that is being made. */
export async function backupRecipe(
  backups: Backups,
  { instance_id, deployment_id }: InstanceRecord,
  id: string,
): Promise<object> {
  // In this order: a backup is in the index before its key goes.
  const isUnderWay = await backups.parts.records.isUnderWay(deployment_id);
  const made = (await backups.list(instance_id)).find(({ operation_id }) => operation_id === id);
  const status = made !== undefined ? 'complete' : isUnderWay ? 'running' : 'failed';
  return {
    id,
    template: 'Recipes::Deployment::Backup',
    status,
    status_detail: made === undefined ? `backup ${status}` : `backup ${made.backup_id} was made`,
    deployment_id,
    name: 'backup',
    created_at: made?.created_at ?? new Date().toISOString(),
    updated_at: made?.finished_at ?? new Date().toISOString(),
    operations_complete: status === 'running' ? 0 : 1,
    operations_total: 1,
  };
}
