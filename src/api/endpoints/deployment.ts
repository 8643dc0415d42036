import type { Administration } from '../../administration/administration.js';
import { NotFound } from '../../broker/errors.js';
import { backupRecipe } from '../backup-recipe.js';
import { type ApiEndpoint, type Asked, DEPLOYMENT, recipeOf } from '../endpoint.js';
import {
  DEPLOYMENT_SCHEMA,
  listOf,
  RECIPE_SCHEMA,
  SCALING_BODY,
  SCALINGS_SCHEMA,
  TRANSITION_SCHEMA,
} from '../schemas.js';
import { deploymentShape, recipeShape, scalingsShape } from '../shapes.js';

const BACKUP_RECIPE = /^backup-[0-9a-f]{16}$/;

/** The deployment, its scalings and its recipes. */
export function deploymentEndpoints(admin: Administration): ApiEndpoint[] {
  const { broker, service, etcdVersion } = admin.parts;
  const shape = async ({ instance, base }: Asked) =>
    deploymentShape(instance, service, await etcdVersion(), base);
  const recipe = async ({ instance, request }: Asked): Promise<object> => {
    const id = String(request.params.recipe_id);
    if (BACKUP_RECIPE.test(id)) {
      return backupRecipe(admin.backups, instance, id);
    }
    const found = await admin.operation(instance, id);
    if (found === undefined) {
      throw new NotFound('There is no such recipe.');
    }
    return recipeShape(found, instance.deployment_id);
  };
  return [
    {
      method: 'get',
      path: '/deployments',
      summary: 'The deployment, as a list of one',
      status: 200,
      answer: listOf('deployments', DEPLOYMENT_SCHEMA),
      handle: async (asked) => ({
        _embedded: { deployments: [await shape(asked)] },
        _links: { self: { href: `${asked.base}/deployments` } },
      }),
    },
    {
      method: 'get',
      path: DEPLOYMENT,
      summary: 'The deployment',
      status: 200,
      answer: DEPLOYMENT_SCHEMA,
      handle: shape,
    },
    {
      method: 'get',
      path: `${DEPLOYMENT}/scalings`,
      summary: 'Units that are allocated and used',
      status: 200,
      answer: SCALINGS_SCHEMA,
      handle: async ({ instance }) => {
        const stored = await broker.records.storedBytes(instance.deployment_id);
        return scalingsShape(instance, admin.unitBytes(instance), stored);
      },
    },
    {
      method: 'post',
      path: `${DEPLOYMENT}/scalings`,
      summary: 'Changes the units',
      body: SCALING_BODY,
      status: 202,
      answer: RECIPE_SCHEMA,
      handle: (asked) => {
        const { units } = asked.request.body.deployment;
        return recipeOf(asked, admin.change(asked.instance, { units }));
      },
    },
    {
      method: 'get',
      path: `${DEPLOYMENT}/recipes`,
      summary: 'Operations of the last day, the newest first',
      status: 200,
      answer: listOf('recipes', RECIPE_SCHEMA),
      handle: async ({ instance }) => {
        const operations = await admin.operations(instance);
        return {
          _embedded: { recipes: operations.map((each) => recipeShape(each, instance.deployment_id)) },
        };
      },
    },
    ...['/recipes/{recipe_id}', `${DEPLOYMENT}/recipes/{recipe_id}`].map(
      (path): ApiEndpoint => ({
        method: 'get',
        path,
        summary: 'One operation',
        status: 200,
        answer: RECIPE_SCHEMA,
        handle: recipe,
      }),
    ),
    {
      method: 'get',
      path: `${DEPLOYMENT}/versions`,
      summary: "Versions to change to: none, since the version is the cluster's, which its operator changes",
      status: 200,
      answer: listOf('transitions', TRANSITION_SCHEMA),
      handle: async () => ({ _embedded: { transitions: [] } }),
    },
  ];
}
