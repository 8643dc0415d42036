import express, { type NextFunction, type Request, type Response, Router } from 'express';
import type { Administration } from '../administration/administration.js';
import { InvalidRequest } from '../broker/errors.js';
import { compileParameters } from '../catalog/parameters.js';
import { LONGEST_BODY, refusal } from '../osb/http/error-reply.js';
import { HttpError, toErrorReply } from '../osb/http/errors.js';
import { bearerToken } from './bearer-token.js';
import { type ApiEndpoint, type Asked, type FileEndpoint, instanceOf } from './endpoint.js';
import { accessEndpoints } from './endpoints/access.js';
import { backupEndpoints, downloadEndpoint } from './endpoints/backups.js';
import { deploymentEndpoints } from './endpoints/deployment.js';
import { usageEndpoints } from './endpoints/usage.js';
import { BASE, openApi } from './openapi.js';

export interface ApiParts {
  administration: Administration;
}

/**
 * The administration API as Compose had it, version 2016-07, under `/api`: with a bearer token, for one instance.
 * Answers are JSON-HAL, errors `{"errors": "text"}`. It describes itself at `/api/openapi.json`, to everybody.
 */
export function administrationApi({ administration: admin }: ApiParts): Router {
  const { service, broker, tokens } = admin.parts;
  const root = () => `${service.publicUrl}/api`;
  const endpoints = [
    ...deploymentEndpoints(admin),
    ...backupEndpoints(admin),
    downloadEndpoint(admin),
    ...accessEndpoints(admin),
    ...usageEndpoints(admin),
  ];
  const router = Router({ caseSensitive: true });
  router.get('/openapi.json', (_request, response) => {
    response.json(openApi(endpoints, root()));
  });
  router.use(routeOf(BASE), bearerToken({ tokens, broker }));
  router.use(express.json({ limit: LONGEST_BODY, type: () => true }));
  for (const endpoint of endpoints) {
    router[endpoint.method](routeOf(`${BASE}${endpoint.path}`), serve(admin, endpoint, root));
  }
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

/** As Express writes it. */
function routeOf(path: string): string {
  return path.replace(/\{(\w+)\}/g, ':$1');
}

function serve(admin: Administration, endpoint: ApiEndpoint | FileEndpoint, root: () => string) {
  const validateBody = endpoint.body && compileParameters(endpoint.body);
  // What is not asked for is let be, as Compose did.
  const validateQuery = compileParameters({ type: 'object', properties: endpoint.query ?? {} });
  return async (request: Request, response: Response): Promise<void> => {
    const problems = [...validateQuery({ ...request.query }), ...(validateBody?.(request.body ?? {}) ?? [])];
    if (problems.length > 0) {
      throw new InvalidRequest(`Bad request: ${problems.join('; ')}.`);
    }
    const instance = await instanceOf(admin, request);
    const base = `${root()}/2016-07/instances/${encodeURIComponent(instance.instance_id)}`;
    const asked: Asked = { instance, request, base };
    response.set('Cache-Control', 'no-store');
    if ('send' in endpoint) {
      await endpoint.send(asked, response);
      return;
    }
    const body = await endpoint.handle(asked);
    response.status(endpoint.status).type('application/hal+json').send(JSON.stringify(body));
  };
}
