import { randomBytes } from 'node:crypto';
import express, { type NextFunction, type Request, type Response, Router } from 'express';
import { BackupUnderWay } from '../backups/backup-records.js';
import type { Backups } from '../backups/backups.js';
import { keyLines } from '../backups/key-lines.js';
import type { BackupManifest } from '../backups/manifest.js';
import { InvalidRequest, NotFound } from '../broker/errors.js';
import type { InstanceRecord, JsonObject } from '../broker/model.js';
import { Turns } from '../broker/requests/turns.js';
import { update } from '../broker/requests/update.js';
import type { OsbContext } from '../osb/context.js';
import { LONGEST_BODY, refusal } from '../osb/http/error-reply.js';
import { HttpError, toErrorReply } from '../osb/http/errors.js';
import type { ApiTokens } from '../records/api-tokens.js';
import { withTimeout } from '../timing.js';
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
/** A backup that can't be made is mostly refused within this time. */
const REFUSED_WITHIN_MS = 200;
const BACKUP_RECIPE = /^backup-[0-9a-f]{16}$/;

export interface ApiParts extends OsbContext {
  tokens: ApiTokens;
  /** Absent where no backups are made. */
  copies?: Backups | undefined;
  etcdVersion(): Promise<string>;
}

type WhitelistEntry = { ip: string; description?: string };
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
  const { catalog, service, copies, broker } = parts;
  const router = Router({ caseSensitive: true });
  const turns = new Turns();
  router.use(BASE, bearerToken(parts));
  router.use(express.json({ limit: LONGEST_BODY, type: () => true }));

  const serve = (handler: Handler) => async (request: Request, response: Response) => {
    const instance = await instanceOf(parts, request);
    const base = `${service.publicUrl}/api/2016-07/instances/${encodeURIComponent(instance.instance_id)}`;
    const { status = 200, body } = await handler(instance, request, base);
    response
      .status(status)
      .set('Cache-Control', 'no-store')
      .type('application/hal+json')
      .send(JSON.stringify(body));
  };
  /** Changes an instance as its platform would. */
  const change = async (instance: InstanceRecord, parameters: JsonObject): Promise<object> => {
    const { instance_id, service_id } = instance;
    const answer = await update(broker, catalog, turns, {
      instance_id,
      service_id,
      parameters,
      acceptsIncomplete: true,
      hasPortals: service.names === 'portal',
    });
    const operationId = answer.kind === 'accepted' ? answer.operationId : undefined;
    const operation = await broker.records.readOperation(instance_id, undefined, operationId);
    if (operation === undefined) {
      throw new NotFound('The operation is not remembered.');
    }
    return recipeShape(operation, instance.deployment_id);
  };
  const backups = (): Backups => {
    if (copies === undefined) {
      throw new InvalidRequest('This service broker makes no backups.');
    }
    return copies;
  };
  const deployment = `${BASE}/deployments/:deployment_id`;

  router.get(
    `${BASE}/deployments`,
    serve(async (instance, _request, base) => {
      const one = deploymentShape(instance, service, await parts.etcdVersion(), base);
      return {
        body: { _embedded: { deployments: [one] }, _links: { self: { href: `${base}/deployments` } } },
      };
    }),
  );
  router.get(
    deployment,
    serve(async (instance, _request, base) => ({
      body: deploymentShape(instance, service, await parts.etcdVersion(), base),
    })),
  );
  router.get(
    `${deployment}/scalings`,
    serve(async (instance) => {
      const unitBytes =
        catalog.findPlan(instance.service_id, instance.plan_id)?.settings.quotaBytes ?? 256 << 20;
      const stored = await broker.records.storedBytes(instance.deployment_id);
      return { body: scalingsShape(instance, unitBytes, stored) };
    }),
  );
  router.post(
    `${deployment}/scalings`,
    serve(async (instance, request) => {
      const units = (request.body?.deployment as JsonObject | undefined)?.units;
      if (typeof units !== 'number') {
        throw new InvalidRequest('deployment.units must be a number of units.');
      }
      return { status: 202, body: await change(instance, { units }) };
    }),
  );
  router.get(
    `${deployment}/recipes`,
    serve(async (instance) => {
      const latest = await broker.records.readOperation(
        instance.instance_id,
        undefined,
        instance.work?.operation_id,
      );
      const recipes = latest === undefined ? [] : [recipeShape(latest, instance.deployment_id)];
      return { body: { _embedded: { recipes } } };
    }),
  );
  for (const path of [`${BASE}/recipes/:recipe_id`, `${deployment}/recipes/:recipe_id`]) {
    router.get(
      path,
      serve(async (instance, request) => {
        const id = String(request.params.recipe_id);
        if (BACKUP_RECIPE.test(id)) {
          return { body: await backupRecipe(backups(), instance, id) };
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
      const all = await backups().list(instance.instance_id);
      return { body: { _embedded: { backups: all.map((manifest) => backupShape(manifest, base)) } } };
    }),
  );
  router.post(
    `${deployment}/backups`,
    serve(async (instance) => {
      const id = `backup-${randomBytes(8).toString('hex')}`;
      const taking = backups().take(instance, 'on_demand', { operationId: id });
      taking.catch((error: Error) => {
        broker.log.warn(
          { instance: instance.instance_id, reason: error.message },
          'A backup on demand failed',
        );
      });
      // What is refused at once is told at once.
      await withTimeout(taking, REFUSED_WITHIN_MS).catch((error: unknown) => {
        throw error instanceof BackupUnderWay ? new InvalidRequest(error.message) : error;
      });
      return { status: 202, body: await backupRecipe(backups(), instance, id) };
    }),
  );
  router.get(
    `${deployment}/backups/:backup_id`,
    serve(async (instance, request, base) => ({
      body: backupShape(await backupOf(backups(), instance, request), base),
    })),
  );
  router.get(`${deployment}/backups/:backup_id/download`, async (request, response) => {
    const instance = await instanceOf(parts, request);
    const manifest = await backupOf(backups(), instance, request);
    response
      .set('Cache-Control', 'no-store')
      .type('application/jsonl')
      .attachment(`${manifest.backup_id}.jsonl`);
    await backups().read(
      manifest,
      keyLines((text) => written(response, text)),
    );
    response.end();
  });
  router.post(
    `${deployment}/backups/:backup_id/restore`,
    serve(async (instance, request) => {
      const { backup_id } = await backupOf(backups(), instance, request);
      return { status: 202, body: await change(instance, { restore: { backup_id } }) };
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
      const others = whitelistOf(instance).filter(({ ip }) => ip !== entry.ip);
      return { status: 202, body: await change(instance, { whitelist: [...others, entry] }) };
    }),
  );
  router.delete(
    `${deployment}/whitelist/:whitelist_id`,
    serve(async (instance, request) => {
      const before = whitelistOf(instance);
      const whitelist = before.filter(({ ip }) => whitelistId(ip) !== request.params.whitelist_id);
      if (whitelist.length === before.length) {
        throw new NotFound('There is no such entry in the whitelist.');
      }
      return { status: 202, body: await change(instance, { whitelist }) };
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
async function instanceOf({ broker }: ApiParts, request: Request): Promise<InstanceRecord> {
  const { instance_id, deployment_id } = request.params;
  const stored = await broker.records.readInstance(String(instance_id));
  const isOther = deployment_id !== undefined && deployment_id !== stored?.value.deployment_id;
  if (stored === undefined || isOther) {
    throw new NotFound('There is no such deployment.');
  }
  return stored.value;
}

async function backupOf(
  backups: Backups,
  { instance_id }: InstanceRecord,
  request: Request,
): Promise<BackupManifest> {
  const found = await backups.find(instance_id, String(request.params.backup_id));
  if (found === undefined) {
    throw new NotFound('There is no such backup.');
  }
  return found;
}

function whitelistOf({ parameters }: InstanceRecord): WhitelistEntry[] {
  return Array.isArray(parameters.whitelist) ? (parameters.whitelist as WhitelistEntry[]) : [];
}

/** @throws Error when the client is gone */
function written(response: Response, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    if (response.destroyed) {
      reject(new Error('The client has gone away.'));
      return;
    }
    response.once('close', () => reject(new Error('The client has gone away.')));
    response.write(text, (error) => (error ? reject(error) : resolve()));
  });
}
