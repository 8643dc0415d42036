import express, { type Express } from 'express';
import { type ApiParts, administrationApi } from '../../api/router.js';
import type { BrokerCredentials } from '../../config/config.js';
import { favicon, frontPage } from '../../dashboard/front-page.js';
import { type DashboardParts, dashboard, securityHeaders } from '../../dashboard/router.js';
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
import { errorReply, LONGEST_BODY } from './error-reply.js';
import { HttpError } from './errors.js';
import { originatingIdentity, type RequestLocals, requestLog } from './request-log.js';

export interface AppParts extends OsbContext, ApiParts, DashboardParts {
  credentials: readonly BrokerCredentials[];
  /** Express's `trust proxy`: how many proxies, or which addresses, may say who the client is. */
  trustProxy: number | string[];
  log: Logger;
  metrics: Metrics;
  readiness: ReadinessCheck;
  /** Brings what is not counted as it happens up to date in the metrics. */
  refreshMetrics: () => Promise<void>;
  /** The metrics of the portals that this broker runs. */
  portalMetrics: () => Promise<string>;
}

const INSTANCE = '/v2/service_instances/:instance_id';
const BINDING = `${INSTANCE}/service_bindings/:binding_id`;

/** The broker's HTTP face: each route with its file. */
export function createApp(parts: AppParts): Express {
  const { log, metrics } = parts;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('trust proxy', parts.trustProxy);
  app.set('query parser', 'simple');
  app.use(requestLog(log, metrics));
  const signedIn = authentication(parts.credentials, (address) => {
    metrics.guessLimitReached();
    log.warn({ address }, 'Wrong credentials came so often that this address is turned away for a minute');
  });
  // Before all others, since platforms ask for it most; each route that comes first would cost it a comparison.
  app.get('/v2/catalog', signedIn, apiVersion, originatingIdentity, catalog(parts));
  openRoutes(app, parts);
  app.use('/api', administrationApi(parts));
  app.use(signedIn);
  app.get('/metrics', async (_request, response) => {
    // While etcd does not answer, the metrics are needed most; the counts are then those of the last time.
    const counted = parts.refreshMetrics().catch((error: unknown) => {
      log.warn({ reason: (error as Error).message }, 'The records could not be counted for the metrics');
    });
    const [portals] = await Promise.all([parts.portalMetrics(), counted, parts.readiness.check()]);
    response.type(metrics.contentType).send(`${await metrics.text()}${portals}`);
  });
  brokerRoutes(app, parts);
  app.use(() => {
    throw new HttpError(
      404,
      'There is nothing at this address. The paths of this service broker begin with /v2/.',
    );
  });
  app.use(errorReply(log));
  return app;
}

/** What needs no login. */
function openRoutes(app: Express, parts: AppParts): void {
  app.get('/health', (_request, response) => {
    response.json({ status: 'ok' });
  });
  app.get('/ready', async (_request, response) => {
    const { ready, ...told } = await parts.readiness.check();
    response.status(ready ? 200 : 503).json({ status: ready ? 'ok' : 'not ready', ...told });
  });
  app.get(
    '/',
    securityHeaders(),
    frontPage(() => parts.service.publicUrl),
  );
  app.get('/favicon.ico', favicon);
  app.use('/dashboard', dashboard(parts));
}

/** The API of the specification, in its order. */
function brokerRoutes(app: Express, parts: AppParts): void {
  app.use('/v2', apiVersion, originatingIdentity);
  app.all('/v2/catalog', methodNotAllowed('GET'));
  app.use('/v2', (_request, response, next) => {
    response.setHeader('Cache-Control', 'no-store');
    next();
  });
  app.param('instance_id', (_request, response, next, id: string) => {
    (response.locals as RequestLocals).instance = id;
    next();
  });
  app.param('binding_id', (_request, response, next, id: string) => {
    (response.locals as RequestLocals).binding = id;
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
}

function methodNotAllowed(allow: string) {
  return (): never => {
    throw new HttpError(405, `This address takes only the methods ${allow}.`, { Allow: allow });
  };
}
