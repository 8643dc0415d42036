import { timingSafeEqual } from 'node:crypto';
import type { NextFunction, Request, Response } from 'express';
import type { BrokerCredentials } from '../../config/config.js';
import { clientAddress } from './client-address.js';
import { markSignedIn } from './connections.js';
import { HttpError } from './errors.js';
import { GuessLimit } from './guess-limit.js';

const CHALLENGE = { 'WWW-Authenticate': 'Basic realm="service broker", charset="UTF-8"' };
const LENGTH_BYTES = 4;
const NOTHING = Buffer.alloc(0);

/**
 * Basic authentication against any of the given pairs (specification: "Platform to Service Broker
 * Authentication"). Comparisons take the same time whatever is wrong.
 *
 * Whoever sends wrong credentials too often is turned away for the rest of the minute, and learns nothing more by
 * guessing: right credentials are turned away as well, unless somebody has signed in from that address before. A
 * platform is not to suffer for the guesses of others behind its address.
 * @param onLimit is told of an address that has reached the limit
 */
export function authentication(
  credentials: readonly BrokerCredentials[],
  onLimit: (address: string) => void,
  limit = new GuessLimit(),
) {
  const isAccepted = comparison(credentials);
  return (request: Request, _response: Response, next: NextFunction): void => {
    const header = request.headers.authorization;
    if (!header) {
      throw new HttpError(401, 'A user name and a password are needed here.', CHALLENGE);
    }
    const given = decode(header);
    const isRight = isAccepted(given);
    const address = clientAddress(request);
    if (!(isRight && limit.isKnown(address))) {
      const name = given.toString('utf8', 0, Math.max(0, given.indexOf(':')));
      const wait = limit.secondsToWait(address, name);
      if (wait > 0) {
        throw new HttpError(429, 'Too many requests with wrong credentials. Try again in a minute.', {
          'Retry-After': String(wait),
        });
      }
      if (!isRight) {
        if (limit.count(address, name)) {
          onLimit(address);
        }
        throw new HttpError(401, 'The user name or the password is wrong.', CHALLENGE);
      }
      limit.remember(address);
    }
    markSignedIn(request.socket);
    next();
  };
}

/** Whether a text is one of the pairs, in a time that tells nothing of them. */
function comparison(credentials: readonly BrokerCredentials[]): (given: Buffer) => boolean {
  const accepted = credentials.map(({ username, password }) =>
    Buffer.from(`${username}:${password.reveal()}`, 'utf8'),
  );
  // All texts are compared in slots of one length, each behind its own length, so that nothing depends on either.
  const slotLength = LENGTH_BYTES + Math.max(0, ...accepted.map(({ length }) => length));
  const slot = Buffer.alloc(slotLength);
  const slots = accepted.map((text) => putInto(Buffer.alloc(slotLength), text));
  return (given) => {
    putInto(slot, given);
    let isAccepted = false;
    for (const one of slots) {
      isAccepted = timingSafeEqual(slot, one) || isAccepted;
    }
    return isAccepted;
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
