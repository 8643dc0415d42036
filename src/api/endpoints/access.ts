import type { Administration } from '../../administration/administration.js';
import { type WhitelistEntry, whitelistOf } from '../../administration/whitelist.js';
import { type ApiEndpoint, DEPLOYMENT, recipeOf } from '../endpoint.js';
import {
  BINDING_SCHEMA,
  KEY_SPACE_SCHEMA,
  listOf,
  RECIPE_SCHEMA,
  ROTATION_SCHEMA,
  WHITELIST_BODY,
  WHITELIST_ENTRY_SCHEMA,
} from '../schemas.js';
import { bindingShape, recipeShape, whitelistId, whitelistShape } from '../shapes.js';

/** Who may do what, from where: the whitelist, bindings and key spaces. */
export function accessEndpoints(admin: Administration): ApiEndpoint[] {
  return [
    {
      method: 'get',
      path: `${DEPLOYMENT}/whitelist`,
      summary: 'From where applications may connect; an empty list lets everybody in',
      status: 200,
      answer: listOf('whitelist', WHITELIST_ENTRY_SCHEMA),
      handle: async ({ instance }) => ({
        _embedded: { whitelist: whitelistOf(instance).map(whitelistShape) },
      }),
    },
    {
      method: 'post',
      path: `${DEPLOYMENT}/whitelist`,
      summary: 'Adds an entry to the whitelist',
      body: WHITELIST_BODY,
      status: 202,
      answer: RECIPE_SCHEMA,
      handle: (asked) => {
        const { deployment, whitelist = deployment.whitelist } = asked.request.body;
        return recipeOf(asked, admin.allow(asked.instance, whitelist));
      },
    },
    {
      method: 'delete',
      path: `${DEPLOYMENT}/whitelist/{whitelist_id}`,
      summary: 'Takes an entry out of the whitelist',
      status: 202,
      answer: RECIPE_SCHEMA,
      handle: (asked) => {
        const isIt = ({ ip }: WhitelistEntry) => whitelistId(ip) === asked.request.params.whitelist_id;
        return recipeOf(asked, admin.disallow(asked.instance, isIt));
      },
    },
    {
      method: 'get',
      path: `${DEPLOYMENT}/key_spaces`,
      summary: 'Key spaces, and how many keys each holds',
      status: 200,
      answer: listOf('key_spaces', KEY_SPACE_SCHEMA),
      handle: async ({ instance }) => ({
        _embedded: { key_spaces: await admin.keySpaces(instance) },
      }),
    },
    {
      method: 'get',
      path: `${DEPLOYMENT}/bindings`,
      summary: 'Bindings without their secrets, at most 500',
      status: 200,
      answer: listOf('bindings', BINDING_SCHEMA),
      handle: async ({ instance }) => ({
        _embedded: { bindings: (await admin.bindings(instance)).map(bindingShape) },
      }),
    },
    {
      method: 'post',
      path: `${DEPLOYMENT}/bindings/{binding_id}/rotate`,
      summary: "Replaces a binding's password; the old one is good for nothing any more",
      status: 200,
      answer: ROTATION_SCHEMA,
      handle: async ({ instance, request }) => {
        const { credentials, operation } = await admin.rotatePassword(
          instance,
          String(request.params.binding_id),
        );
        return { recipe: recipeShape(operation, instance.deployment_id), credentials };
      },
    },
  ];
}
