import { InvalidRequest } from '../errors.js';
import type { Access, JsonObject } from '../model.js';
import { DURATION } from './expiry.js';

/** A key space that users name. One of a binding's own begins with `_`, so nobody can ask for it by guessing. */
const KEY_SPACE = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** What the broker itself makes of a bind request's parameters. */
export interface BindParameters {
  key_space?: string;
  access: Access;
  expires_in?: string;
  administration?: true | undefined;
}

/**
 * Reads them out of parameters that the catalog's schema has let pass. An operator may have changed that schema, and
 * a key space becomes part of keys: so what the broker relies on is held here.
 * @throws InvalidRequest
 */
export function bindParameters({
  key_space,
  access,
  expires_in,
  administration,
}: JsonObject): BindParameters {
  if (key_space !== undefined && !(typeof key_space === 'string' && KEY_SPACE.test(key_space))) {
    throw bad('key_space', 'have 1 to 63 lower-case letters, digits and "-", and not start with "-"');
  }
  if (access !== undefined && access !== 'readwrite' && access !== 'readonly') {
    throw bad('access', 'be "readwrite" or "readonly"');
  }
  if (expires_in !== undefined && !(typeof expires_in === 'string' && DURATION.test(expires_in))) {
    throw bad('expires_in', 'be a whole number and s, m, h or d, such as "720h"');
  }
  if (administration !== undefined && typeof administration !== 'boolean') {
    throw bad('administration', 'be true or false');
  }
  return {
    ...(key_space === undefined ? {} : { key_space }),
    access: access ?? 'readwrite',
    ...(expires_in === undefined ? {} : { expires_in }),
    ...(administration ? { administration: true } : {}),
  };
}

function bad(name: string, good: string): InvalidRequest {
  return new InvalidRequest(`Bad parameters: ${name} must ${good}.`);
}
