import type { Administration } from '../../administration/administration.js';
import { InvalidRequest } from '../../broker/errors.js';
import { backupsScreen } from '../screens/backups.js';
import type { Action, Page } from '../visit.js';

export function backupsPage(administration: Administration): Page {
  return async ({ instance, session, base }) => {
    const found = administration.hasBackups
      ? await Promise.all([
          administration.backups.list(instance.instance_id),
          administration.backups.parts.records.isUnderWay(instance.deployment_id),
        ])
      : undefined;
    const screen = { base, session, instanceId: instance.instance_id };
    return {
      content: backupsScreen({
        ...screen,
        ...(found && { backups: found[0] }),
        isUnderWay: found?.[1] ?? false,
      }),
    };
  };
}

/** By the end of their addresses below `backups`. */
export function backupActions(administration: Administration): Readonly<Record<string, Action>> {
  return {
    '': async ({ instance }) => {
      await administration.startBackup(instance);
      return { told: 'backup' };
    },
    restore: async ({ instance }, request) => {
      if (request.body?.sure !== 'yes') {
        throw new InvalidRequest('Confirm that all keys of this instance are to be replaced.');
      }
      const { backup_id } = await administration.backup(instance, String(request.body.backup_id));
      await administration.change(instance, { restore: { backup_id } });
      return { told: 'restore' };
    },
  };
}
