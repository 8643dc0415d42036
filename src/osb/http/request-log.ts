import type { NextFunction, Request, Response } from 'express';
import type { Logger } from '../../observability/log.js';
import type { Metrics } from '../../observability/metrics.js';
import { type OriginatingIdentity, parseOriginatingIdentity } from './originating-identity.js';

const CHANGES = new Set(['PUT', 'PATCH', 'DELETE', 'POST']);
const LONGEST_LOGGED = 256;

/**
 * One line a request, when it is answered; the echo of `X-Broker-API-Request-Identity`; and for each change an
 * audit line with the platform's user. No line holds a body, a query string or an Authorization header.
 */
export function requestLog(log: Logger, metrics: Metrics) {
  const audit = log.child({ audit: true });
  return (request: Request, response: Response, next: NextFunction): void => {
    const startedAt = performance.now();
    const identity = request.get('X-Broker-API-Request-Identity')?.slice(0, LONGEST_LOGGED);
    if (identity !== undefined) {
      response.setHeader('X-Broker-API-Request-Identity', identity);
    }
    response.once('close', () => {
      const seconds = (performance.now() - startedAt) / 1_000;
      const route = typeof request.route?.path === 'string' ? request.route.path : 'none';
      const { instance, binding, originatingIdentity, failure } = response.locals as RequestLocals;
      metrics.request(request.method, route, response.statusCode, seconds);
      const line = {
        request: identity ?? request.get('X-Vcap-Request-Id')?.slice(0, LONGEST_LOGGED),
        method: request.method,
        route,
        instance: instance?.slice(0, LONGEST_LOGGED),
        binding: binding?.slice(0, LONGEST_LOGGED),
        status: response.statusCode,
        ms: Math.round(seconds * 1e5) / 100,
        ...(response.writableFinished ? {} : { aborted: true }),
      };
      log.info(line, 'request');
      if (CHANGES.has(request.method) && route !== 'none') {
        audit.info({ ...line, by: originatingIdentity, reason: failure }, 'change');
      }
    });
    next();
  };
}

/** What one request's handlers leave for its log line. */
export interface RequestLocals {
  instance?: string;
  binding?: string;
  originatingIdentity?: OriginatingIdentity;
  failure?: string;
}

/** Decodes the platform's user. Comes after authentication. */
export function originatingIdentity(request: Request, response: Response, next: NextFunction): void {
  const identity = parseOriginatingIdentity(request.get('X-Broker-API-Originating-Identity'));
  if (identity !== undefined) {
    (response.locals as RequestLocals).originatingIdentity = identity;
  }
  next();
}
