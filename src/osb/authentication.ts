import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { NextFunction, Request, Response } from 'express';
import type { BrokerCredentials } from '../config.js';
import { HttpError } from './errors.js';
import { FailureLimit } from './failure-limit.js';

const CHALLENGE = { 'WWW-Authenticate': 'Basic realm="service broker", charset="UTF-8"' };

/**
 * Basic authentication against any of the given pairs (specification: "Platform to Service Broker
 * Authentication"). It comes before anything else. Comparisons take the same time whatever is wrong, and an
 * address that fails too often is turned away for the rest of the minute.
 */
export function authentication(credentials: readonly BrokerCredentials[], limit = new FailureLimit()) {
  // Digests under a key of this process have one length and say nothing of where two texts first differ.
  const key = randomBytes(32);
  const digest = (text: string) => createHmac('sha256', key).update(text).digest();
  const accepted = credentials.map(({ username, password }) =>
    digest(`Basic ${Buffer.from(`${username}:${password.reveal()}`, 'utf8').toString('base64')}`),
  );
  return (request: Request, _response: Response, next: NextFunction): void => {
    const address = request.ip ?? 'unknown';
    const wait = limit.secondsToWait(address);
    if (wait > 0) {
      throw new HttpError(429, 'Too many requests with wrong credentials. Try again in a minute.', {
        'Retry-After': String(wait),
      });
    }
    const given = digest(normalise(request.headers.authorization ?? ''));
    let isKnown = false;
    for (const one of accepted) {
      isKnown = timingSafeEqual(given, one) || isKnown;
    }
    if (!isKnown) {
      limit.count(address);
      throw new HttpError(401, 'The user name or the password is wrong.', CHALLENGE);
    }
    next();
  };
}

/** The scheme's name is the same in any case (RFC 7617), and so is base64 with or without its padding. */
function normalise(header: string): string {
  const [, scheme, token] = /^(\S+) +(\S+) *$/.exec(header) ?? [];
  if (scheme?.toLowerCase() !== 'basic' || token === undefined) {
    return header;
  }
  return `Basic ${Buffer.from(token, 'base64').toString('base64')}`;
}
