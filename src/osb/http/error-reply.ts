import type { NextFunction, Request, Response } from 'express';
import type { Logger } from '../../observability/log.js';
import { HttpError, toErrorReply } from './errors.js';
import type { RequestLocals } from './request-log.js';

/** The longest body that is read, in bytes. */
export const LONGEST_BODY = 1 << 20;

/** Express' last handler: answers what was thrown, and logs what is the broker's own fault. */
export function errorReply(log: Logger) {
  // Express knows such a handler by its four parameters.
  return (thrown: unknown, request: Request, response: Response, _next: NextFunction): void => {
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
  };
}

/** Express and its body parser describe bad requests by a status and a type: as an error of ours. */
export function refusal(thrown: unknown): unknown {
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
