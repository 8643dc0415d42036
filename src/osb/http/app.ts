import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import helmet from 'helmet';
import type { BrokerCredentials } from '../../config/config.js';
import { dashboard } from '../../dashboard/page.js';
import type { Logger } from '../../observability/log.js';
import type { Metrics } from '../../observability/metrics.js';
import type { ReadinessCheck } from '../../observability/readiness.js';
import type { OsbContext } from '../context.js';
import { bind } from '../endpoints/bind.js';
import { catalog } from '../endpoints/catalog.js';
import { deprovision } from '../endpoints/deprovision.js';
import { fetchBinding } from '../endpoints/fetch-binding.js';
import { fetchInstance } from '../endpoints/fetch-instance.js';
import { lastOperation } from '../endpoints/last-operation.js';
import { provision } from '../endpoints/provision.js';
import { unbind } from '../endpoints/unbind.js';
import { update } from '../endpoints/update.js';
import { apiVersion } from './api-version.js';
import { authentication } from './authentication.js';
import { serve } from './endpoint.js';
import { HttpError, toErrorReply } from './errors.js';
import { originatingIdentity, type RequestLocals, requestLog } from './request-log.js';

/** The longest body that is read, in bytes. */
export const LONGEST_BODY = 1 << 20;

export interface AppParts extends OsbContext {
  credentials: readonly BrokerCredentials[];
  trustProxy: number;
  log: Logger;
  metrics: Metrics;
  readiness: ReadinessCheck;
  /** Brings the counts in the metrics up to date. */
  refreshCounts: () => Promise<void>;
}

const INSTANCE = '/v2/service_instances/:instance_id';
const BINDING = `${INSTANCE}/service_bindings/:binding_id`;

/** The broker's HTTP face: each route with its file, in the order of the specification. */
export function createApp(parts: AppParts): Express {
  const { log, metrics } = parts;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('trust proxy', parts.trustProxy);
  app.set('query parser', 'simple');
  app.use(requestLog(log, metrics));
  const signedIn = authentication(parts.credentials);
  // Before all others, since platforms ask for it most; each route that comes first would cost it a comparison.
  app.get('/v2/catalog', signedIn, apiVersion, originatingIdentity, catalog(parts));
  app.param('instance_id', (_request, response, next, id: string) => {
    (response.locals as RequestLocals).instance = id;
    next();
  });
  app.param('binding_id', (_request, response, next, id: string) => {
    (response.locals as RequestLocals).binding = id;
    next();
  });

  app.get('/health', (_request, response) => {
    response.json({ status: 'ok' });
  });
  app.get('/ready', async (_request, response) => {
    const { ready, checks } = await parts.readiness.check();
    response.status(ready ? 200 : 503).json({ status: ready ? 'ok' : 'not ready', checks });
  });
  app.get('/dashboard/:deployment_id', helmet(), dashboard(parts));

  app.use(signedIn);
  app.get('/metrics', async (_request, response) => {
    // While etcd does not answer, the metrics are needed most; the counts are then those of the last time.
    const counted = parts.refreshCounts().catch((error: unknown) => {
      log.warn({ reason: (error as Error).message }, 'The records could not be counted for the metrics');
    });
    await Promise.all([counted, parts.readiness.check()]);
    response.type(metrics.contentType).send(await metrics.text());
  });

  app.use('/v2', apiVersion, originatingIdentity);
  app.all('/v2/catalog', methodNotAllowed('GET'));
  app.use('/v2', (_request, response, next) => {
    response.setHeader('Cache-Control', 'no-store');
    next();
  });
  // A platform may leave the content type out; nothing but JSON ever comes here.
  const json = express.json({ limit: LONGEST_BODY, type: () => true });
  app
    .route(`${INSTANCE}/last_operation`)
    .get(serve(lastOperation(parts, 'instance')))
    .all(methodNotAllowed('GET'));
  app
    .route(`${BINDING}/last_operation`)
    .get(serve(lastOperation(parts, 'binding')))
    .all(methodNotAllowed('GET'));
  app
    .route(INSTANCE)
    .put(json, serve(provision(parts)))
    .get(serve(fetchInstance(parts)))
    .patch(json, serve(update(parts)))
    .delete(serve(deprovision(parts)))
    .all(methodNotAllowed('GET, PUT, PATCH, DELETE'));
  app
    .route(BINDING)
    .put(json, serve(bind(parts)))
    .get(serve(fetchBinding(parts)))
    .delete(serve(unbind(parts)))
    .all(methodNotAllowed('GET, PUT, DELETE'));

  app.use(() => {
    throw new HttpError(
      404,
      'There is nothing at this address. The paths of this service broker begin with /v2/.',
    );
  });
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    sendError(error, request, response, log);
  });
  return app;
}

function methodNotAllowed(allow: string) {
  return (): never => {
    throw new HttpError(405, `This address takes only the methods ${allow}.`, { Allow: allow });
  };
}

function sendError(thrown: unknown, request: Request, response: Response, log: Logger): void {
  const { status, body, headers, isFault } = toErrorReply(refusal(thrown));
  (response.locals as RequestLocals).failure = body.description;
  if (isFault) {
    const { name, message, stack, cause } = thrown as Error;
    const reason = cause instanceof Error ? cause.message : message;
    log.error({ method: request.method, error: name, reason, stack }, 'A request failed');
  }
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.status(status).set(headers).json(body);
}

/** Express and its body parser describe bad requests by a status and a type. */
function refusal(thrown: unknown): unknown {
  const { status, type } = thrown as { status?: unknown; type?: unknown };
  if (thrown instanceof HttpError || typeof status !== 'number' || status < 400 || status > 499) {
    return thrown;
  }
  if (type === 'entity.too.large') {
    return new HttpError(413, `The body is too large; at most ${LONGEST_BODY} bytes are read.`);
  }
  if (type === 'entity.parse.failed') {
    return new HttpError(400, 'The body is not valid JSON.');
  }
  if (type === 'charset.unsupported' || type === 'encoding.unsupported') {
    // The specification's "Content Type" has 400 for it.
    return new HttpError(400, 'The body must be JSON in UTF-8, as it is or compressed with gzip.');
  }
  if (thrown instanceof URIError) {
    return new HttpError(400, 'The address has a malformed percent-encoding.');
  }
  return new HttpError(status, 'The request is malformed.');
}
