import express, { type NextFunction, type Request, type Response, Router } from 'express';
import type { Administration } from '../administration/administration.js';
import { type WhitelistEntry, whitelistOf } from '../administration/whitelist.js';
import { InvalidRequest, NotFound } from '../broker/errors.js';
import type { InstanceRecord, JsonObject, OperationRecord } from '../broker/model.js';
import { LONGEST_BODY, refusal } from '../osb/http/error-reply.js';
import { HttpError, toErrorReply } from '../osb/http/errors.js';
import type { ApiTokens } from '../records/api-tokens.js';
import { backupRecipe } from './backup-recipe.js';
import { bearerToken } from './bearer-token.js';
import {
  backupShape,
  deploymentShape,
  recipeShape,
  scalingsShape,
  whitelistId,
  whitelistShape,
} from './shapes.js';

const BASE = '/2016-07/instances/:instance_id';
const BACKUP_RECIPE = /^backup-[0-9a-f]{16}$/;

export interface ApiParts {
  administration: Administration;
  tokens: ApiTokens;
}

type Handler = (
  instance: InstanceRecord,
  request: Request,
  base: string,
) => Promise<{ status?: number; body: object }>;

/**
 * The administration API as Compose had it, version 2016-07, under `/api`: with a bearer token, for one instance.
 * Answers are JSON-HAL, errors `{"errors": "text"}`.
 */
export function administrationApi(parts: ApiParts): Router {
  const { administration: admin, tokens } = parts;
  const { service, broker, etcdVersion } = admin.parts;
  const backupOf = (instance: InstanceRecord, request: Request) =>
    admin.backup(instance, String(request.params.backup_id));
  const router = Router({ caseSensitive: true });
  router.use(BASE, bearerToken({ tokens, broker }));
  router.use(express.json({ limit: LONGEST_BODY, type: () => true }));

  const serve = (handler: Handler) => async (request: Request, response: Response) => {
    const instance = await instanceOf(admin, request);
    const base = `${service.publicUrl}/api/2016-07/instances/${encodeURIComponent(instance.instance_id)}`;
    const { status = 200, body } = await handler(instance, request, base);
    response
      .status(status)
      .set('Cache-Control', 'no-store')
      .type('application/hal+json')
      .send(JSON.stringify(body));
  };
  const changed = async (instance: InstanceRecord, change: Promise<OperationRecord>) => ({
    status: 202,
    body: recipeShape(await change, instance.deployment_id),
  });
  const deployment = `${BASE}/deployments/:deployment_id`;

  router.get(
    `${BASE}/deployments`,
    serve(async (instance, _request, base) => {
      const one = deploymentShape(instance, service, await etcdVersion(), base);
      return {
        body: { _embedded: { deployments: [one] }, _links: { self: { href: `${base}/deployments` } } },
      };
    }),
  );
  router.get(
    deployment,
    serve(async (instance, _request, base) => ({
      body: deploymentShape(instance, service, await etcdVersion(), base),
    })),
  );
  router.get(
    `${deployment}/scalings`,
    serve(async (instance) => {
      const stored = await broker.records.storedBytes(instance.deployment_id);
      return { body: scalingsShape(instance, admin.unitBytes(instance), stored) };
    }),
  );
  router.post(
    `${deployment}/scalings`,
    serve(async (instance, request) => {
      const units = (request.body?.deployment as JsonObject | undefined)?.units;
      if (typeof units !== 'number') {
        throw new InvalidRequest('deployment.units must be a number of units.');
      }
      return changed(instance, admin.change(instance, { units }));
    }),
  );
  router.get(
    `${deployment}/recipes`,
    serve(async (instance) => {
      const operations = await admin.operations(instance);
      const recipes = operations.map((operation) => recipeShape(operation, instance.deployment_id));
      return { body: { _embedded: { recipes } } };
    }),
  );
  for (const path of [`${BASE}/recipes/:recipe_id`, `${deployment}/recipes/:recipe_id`]) {
    router.get(
      path,
      serve(async (instance, request) => {
        const id = String(request.params.recipe_id);
        if (BACKUP_RECIPE.test(id)) {
          return { body: await backupRecipe(admin.backups, instance, id) };
        }
        const operation = await broker.records.readOperation(instance.instance_id, undefined, id);
        if (operation === undefined) {
          throw new NotFound('There is no such recipe.');
        }
        return { body: recipeShape(operation, instance.deployment_id) };
      }),
    );
  }
  router.get(
    `${deployment}/backups`,
    serve(async (instance, _request, base) => {
      const all = await admin.backups.list(instance.instance_id);
      return { body: { _embedded: { backups: all.map((manifest) => backupShape(manifest, base)) } } };
    }),
  );
  router.post(
    `${deployment}/backups`,
    serve(async (instance) => {
      const id = await admin.startBackup(instance);
      return { status: 202, body: await backupRecipe(admin.backups, instance, id) };
    }),
  );
  router.get(
    `${deployment}/backups/:backup_id`,
    serve(async (instance, request, base) => ({
      body: backupShape(await backupOf(instance, request), base),
    })),
  );
  router.get(`${deployment}/backups/:backup_id/download`, async (request, response) => {
    const instance = await instanceOf(admin, request);
    await admin.sendBackup(response, instance, String(request.params.backup_id));
  });
  router.post(
    `${deployment}/backups/:backup_id/restore`,
    serve(async (instance, request) => {
      const { backup_id } = await backupOf(instance, request);
      return changed(instance, admin.change(instance, { restore: { backup_id } }));
    }),
  );
  router.get(
    `${deployment}/whitelist`,
    serve(async (instance) => ({
      body: { _embedded: { whitelist: whitelistOf(instance).map(whitelistShape) } },
    })),
  );
  router.post(
    `${deployment}/whitelist`,
    serve(async (instance, request) => {
      const entry = request.body?.deployment?.whitelist ?? request.body?.whitelist;
      if (typeof entry?.ip !== 'string') {
        throw new InvalidRequest('whitelist.ip must be an address or a network.');
      }
      return changed(instance, admin.allow(instance, entry));
    }),
  );
  router.delete(
    `${deployment}/whitelist/:whitelist_id`,
    serve(async (instance, request) => {
      const isIt = ({ ip }: WhitelistEntry) => whitelistId(ip) === request.params.whitelist_id;
      return changed(instance, admin.disallow(instance, isIt));
    }),
  );
  router.get(
    `${deployment}/versions`,
    // The version is the cluster's, which its operator changes.
    serve(async () => ({ body: { _embedded: { transitions: [] } } })),
  );
  router.use(() => {
    throw new HttpError(404, 'There is nothing at this address of the administration API.');
  });
  router.use((thrown: unknown, _request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) {
      next(thrown);
      return;
    }
    const { status, body, headers, isFault } = toErrorReply(refusal(thrown));
    if (isFault) {
      broker.log.error({ reason: (thrown as Error).message }, 'A request of the administration API failed');
    }
    response.status(status).set(headers).json({ errors: body.description });
  });
  return router;
}

/** The instance, and that the deployment of the address is its own. */
async function instanceOf({ parts }: Administration, request: Request): Promise<InstanceRecord> {
  const { instance_id, deployment_id } = request.params;
  const stored = await parts.broker.records.readInstance(String(instance_id));
  const isOther = deployment_id !== undefined && deployment_id !== stored?.value.deployment_id;
  if (stored === undefined || isOther) {
    throw new NotFound('There is no such deployment.');
  }
  return stored.value;
}
