import type { NextFunction, Request, Response } from 'express';
import type { BrokerLog } from '../broker/ports.js';
import { clientAddress } from '../osb/http/client-address.js';
import { HttpError } from '../osb/http/errors.js';
import { GuessLimit } from '../osb/http/guess-limit.js';
import { instanceId as idOf } from '../osb/http/request-fields.js';
import type { ApiTokens } from '../records/api-tokens.js';

const CHALLENGE = { 'WWW-Authenticate': 'Bearer realm="administration API"' };

export interface BearerTokenParts {
  tokens: Pick<ApiTokens, 'isGood'>;
  broker: { log: BrokerLog };
}

/** Lets requests through that have a token of the instance in their path. Who guesses is turned away for a minute. */
export function bearerToken({ tokens, broker }: BearerTokenParts) {
  const limit = new GuessLimit();
  return async (request: Request, _response: Response, next: NextFunction): Promise<void> => {
    const instanceId = idOf(request);
    const [, token] = /^bearer +(\S{1,200}) *$/i.exec(request.headers.authorization ?? '') ?? [];
    if (token === undefined) {
      throw new HttpError(401, 'A bearer token is needed here.', CHALLENGE);
    }
    const address = clientAddress(request);
    const wait = limit.secondsToWait(address, instanceId);
    if (wait > 0) {
      throw new HttpError(429, 'Too many requests with wrong tokens. Try again in a minute.', {
        'Retry-After': String(wait),
      });
    }
    if (!(await tokens.isGood(instanceId, token))) {
      if (limit.count(address, instanceId)) {
        broker.log.warn(
          { address },
          'Wrong tokens came so often that this address is turned away for a minute',
        );
      }
      // The same for an instance that does not exist.
      throw new HttpError(401, 'The token is not good for this instance.', CHALLENGE);
    }
    next();
  };
}
