import { timingSafeEqual } from 'node:crypto';
import type { NextFunction, Request, Response } from 'express';
import type { BrokerCredentials } from '../../config/config.js';
import { HttpError } from './errors.js';
import { FailureLimit } from './failure-limit.js';

const CHALLENGE = { 'WWW-Authenticate': 'Basic realm="service broker", charset="UTF-8"' };
const LENGTH_BYTES = 4;
const NOTHING = Buffer.alloc(0);

/**
 * Basic authentication against any of the given pairs (specification: "Platform to Service Broker
 * Authentication"). It comes before anything else. Comparisons take the same time whatever is wrong, and an
 * address that fails too often is turned away for the rest of the minute.
 */
export function authentication(credentials: readonly BrokerCredentials[], limit = new FailureLimit()) {
  const accepted = credentials.map(({ username, password }) =>
    Buffer.from(`${username}:${password.reveal()}`, 'utf8'),
  );
  // All texts are compared in slots of one length, each behind its own length, so that nothing depends on either.
  const slotLength = LENGTH_BYTES + Math.max(0, ...accepted.map(({ length }) => length));
  const slot = Buffer.alloc(slotLength);
  const slots = accepted.map((text) => putInto(Buffer.alloc(slotLength), text));
  return (request: Request, _response: Response, next: NextFunction): void => {
    const address = request.ip ?? 'unknown';
    const wait = limit.secondsToWait(address);
    if (wait > 0) {
      throw new HttpError(429, 'Too many requests with wrong credentials. Try again in a minute.', {
        'Retry-After': String(wait),
      });
    }
    putInto(slot, decode(request.headers.authorization ?? ''));
    let isKnown = false;
    for (const one of slots) {
      isKnown = timingSafeEqual(slot, one) || isKnown;
    }
    if (!isKnown) {
      limit.count(address);
      throw new HttpError(401, 'The user name or the password is wrong.', CHALLENGE);
    }
    next();
  };
}

/** Fills the slot with a text's length and as much of the text as there is room for. */
function putInto(slot: Buffer, text: Buffer): Buffer {
  slot.fill(0);
  slot.writeUInt32BE(text.length);
  text.copy(slot, LENGTH_BYTES);
  return slot;
}

/**
 * The name, colon and password of a header, nothing when it has another form. The scheme's name is the same in any
 * case (RFC 7617), and so is base64 with or without its padding.
 */
function decode(header: string): Buffer {
  const [, scheme, token] = /^(\S+) +(\S+) *$/.exec(header) ?? [];
  return scheme?.toLowerCase() === 'basic' && token !== undefined ? Buffer.from(token, 'base64') : NOTHING;
}
