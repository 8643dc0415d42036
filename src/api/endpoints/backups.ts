import type { Administration } from '../../administration/administration.js';
import { backupRecipe } from '../backup-recipe.js';
import { type ApiEndpoint, type Asked, DEPLOYMENT, type FileEndpoint, recipeOf } from '../endpoint.js';
import { BACKUP_SCHEMA, listOf, RECIPE_SCHEMA } from '../schemas.js';
import { backupShape } from '../shapes.js';

const ONE = `${DEPLOYMENT}/backups/{backup_id}`;

/** The instance's backups: list, now, restore. */
export function backupEndpoints(admin: Administration): ApiEndpoint[] {
  const backupOf = ({ instance, request }: Asked) => admin.backup(instance, String(request.params.backup_id));
  return [
    {
      method: 'get',
      path: `${DEPLOYMENT}/backups`,
      summary: "The instance's backups, the newest first",
      status: 200,
      answer: listOf('backups', BACKUP_SCHEMA),
      handle: async ({ instance, base }) => {
        const all = await admin.backups.list(instance.instance_id);
        return { _embedded: { backups: all.map((manifest) => backupShape(manifest, base)) } };
      },
    },
    {
      method: 'post',
      path: `${DEPLOYMENT}/backups`,
      summary: 'Makes a backup',
      status: 202,
      answer: RECIPE_SCHEMA,
      handle: async ({ instance }) =>
        backupRecipe(admin.backups, instance, await admin.startBackup(instance)),
    },
    {
      method: 'get',
      path: ONE,
      summary: 'One backup',
      status: 200,
      answer: BACKUP_SCHEMA,
      handle: async (asked) => backupShape(await backupOf(asked), asked.base),
    },
    {
      method: 'post',
      path: `${ONE}/restore`,
      summary: 'Replaces all keys of the instance by those of a backup',
      status: 202,
      answer: RECIPE_SCHEMA,
      handle: async (asked) => {
        const { backup_id } = await backupOf(asked);
        return recipeOf(asked, admin.change(asked.instance, { restore: { backup_id } }));
      },
    },
  ];
}

/** The keys of a backup. */
export function downloadEndpoint(admin: Administration): FileEndpoint {
  return {
    method: 'get',
    path: `${ONE}/download`,
    summary: 'The keys of a backup, one JSON object a line',
    status: 200,
    mediaType: 'application/jsonl',
    send: ({ instance, request }, response) =>
      admin.sendBackup(response, instance, String(request.params.backup_id)),
  };
}
