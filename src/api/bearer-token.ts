import type { NextFunction, Request, Response } from 'express';
import type { BrokerLog, Records, Seals } from '../broker/ports.js';
import { claimedBinding, isTokenOf } from '../credentials/administration-token.js';
import { clientAddress } from '../osb/http/client-address.js';
import { HttpError } from '../osb/http/errors.js';
import { GuessLimit } from '../osb/http/guess-limit.js';
import { instanceId as idOf } from '../osb/http/request-fields.js';
import type { RequestLocals } from '../osb/http/request-log.js';
import { WindowCounts } from '../osb/http/window-counts.js';
import type { ApiTokens } from '../records/api-tokens.js';

const CHALLENGE = { 'WWW-Authenticate': 'Bearer realm="administration API"' };
/** Requests with one token within a minute. */
const MOST_REQUESTS = 600;
const MOST_TOKENS = 10_000;
/** That of a binding with the longest id. */
const LONGEST_TOKEN = 1_500;

export interface BearerTokenParts {
  tokens: Pick<ApiTokens, 'find'>;
  broker: { log: BrokerLog; records: Pick<Records, 'readBinding'>; seals: Pick<Seals, 'open'> };
}

/**
 * Lets requests through that have a token of the instance in their path: one that was made for it, or that of one of
 * its bindings. Who guesses is turned away for a minute, and so is a token that is used too often.
 */
export function bearerToken({ tokens, broker }: BearerTokenParts) {
  const guesses = new GuessLimit();
  const uses = new WindowCounts(MOST_TOKENS);

  /** What names the token in the log; undefined when it is not good. */
  const nameOf = async (instanceId: string, token: string): Promise<string | undefined> => {
    const bindingId = claimedBinding(token);
    if (bindingId === undefined) {
      const found = await tokens.find(instanceId, token);
      return found && `token ${found}`;
    }
    const binding = (await broker.records.readBinding(instanceId, bindingId))?.value;
    const isInUse = binding?.state === 'ready' && !binding.expired && binding.administration;
    if (binding === undefined || !isInUse) {
      return undefined;
    }
    const password = broker.seals.open(binding.sealed_password, binding.username);
    return isTokenOf({ ...binding, password }, token) ? `binding ${bindingId}` : undefined;
  };

  return async (request: Request, response: Response, next: NextFunction): Promise<void> => {
    const instanceId = idOf(request);
    const [, token] = /^bearer +(\S+) *$/i.exec(request.headers.authorization ?? '') ?? [];
    if (token === undefined || token.length > LONGEST_TOKEN) {
      throw new HttpError(401, 'A bearer token is needed here.', CHALLENGE);
    }
    const address = clientAddress(request);
    turnAway(guesses.secondsToWait(address, instanceId), 'Too many requests with wrong tokens.');
    const name = await nameOf(instanceId, token);
    if (name === undefined) {
      if (guesses.count(address, instanceId)) {
        broker.log.warn(
          { address },
          'Wrong tokens came so often that this address is turned away for a minute',
        );
      }
      // The same for an instance that does not exist.
      throw new HttpError(401, 'The token is not good for this instance.', CHALLENGE);
    }
    const use = `${instanceId} ${name}`;
    turnAway(uses.secondsToWait(use, MOST_REQUESTS), `More than ${MOST_REQUESTS} requests a minute.`);
    uses.count(use);
    Object.assign(response.locals as RequestLocals, {
      instance: instanceId,
      originatingIdentity: { platform: 'api', value: { by: name } },
    });
    next();
  };
}

/** @throws HttpError */
function turnAway(seconds: number, reason: string): void {
  if (seconds > 0) {
    throw new HttpError(429, `${reason} Try again in ${seconds} s.`, { 'Retry-After': String(seconds) });
  }
}
