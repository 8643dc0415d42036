import { type EncryptionKey, encryptionKey } from '../credentials/seal.js';
import { Secret } from '../credentials/secret.js';
import { ConfigError } from './error.js';
import { requireBoth, secret, text } from './settings.js';

/** What a platform signs in with. */
export interface BrokerCredentials {
  username: string;
  password: Secret;
}

const KEY_BYTES = 32;
const SHORTEST_PASSWORD = 12;

/**
 * The user names and passwords that the platform may use: the current pair first, then the previous one if it is
 * still valid while rotating. Empty when none is set.
 * @throws ConfigError
 */
export function readBrokerCredentials(env: NodeJS.ProcessEnv): BrokerCredentials[] {
  const current = pair(env, 'BROKER_USERNAME', 'BROKER_PASSWORD');
  const previous = pair(env, 'BROKER_PREVIOUS_USERNAME', 'BROKER_PREVIOUS_PASSWORD');
  if (previous !== undefined && current === undefined) {
    throw new ConfigError(
      'BROKER_USERNAME and BROKER_PASSWORD are not set but the previous ones are; set them too.',
    );
  }
  return [current, previous].filter((credentials) => credentials !== undefined);
}

function pair(
  env: NodeJS.ProcessEnv,
  nameOfUser: string,
  nameOfPassword: string,
): BrokerCredentials | undefined {
  const username = text(env, nameOfUser);
  const password = secret(env, nameOfPassword);
  requireBoth(nameOfUser, username, nameOfPassword, password);
  if (username === undefined || password === undefined) {
    return undefined;
  }
  if (/[:\p{Cc}]/u.test(username)) {
    // RFC 7617, section 2: what stands before the first colon is the user's name.
    throw new ConfigError(`${nameOfUser} must not contain ":" or a control character; choose another name.`);
  }
  if ([...password.reveal()].length < SHORTEST_PASSWORD) {
    throw new ConfigError(`${nameOfPassword} is too short; use at least ${SHORTEST_PASSWORD} characters.`);
  }
  return { username, password };
}

/**
 * The keys that seal records: new ones with the first, old ones are still opened with the others. Empty when none
 * is set.
 * @throws ConfigError when one isn't 32 bytes in base64, or is there twice
 */
export function readEncryptionKeys(env: NodeJS.ProcessEnv): EncryptionKey[] {
  const list = text(env, 'BROKER_ENCRYPTION_KEY');
  const keys = (list?.split(',') ?? []).map((entry, index) => readEncryptionKey(entry.trim(), index));
  for (const [index, { id }] of keys.entries()) {
    if (keys.findIndex((other) => other.id === id) !== index) {
      throw new ConfigError(
        `BROKER_ENCRYPTION_KEY holds a key twice (key ${index + 1}); remove the repetition.`,
      );
    }
  }
  return keys;
}

function readEncryptionKey(entry: string, index: number): EncryptionKey {
  // Buffer skips what isn't base64, so the form is checked first; 43 digits are 32 bytes.
  const bytes = Buffer.from(/^[A-Za-z0-9+/]{43}=?$/.test(entry) ? entry : '', 'base64');
  if (bytes.length !== KEY_BYTES) {
    throw new ConfigError(
      `BROKER_ENCRYPTION_KEY (key ${index + 1}) must be 32 bytes in base64; make one with "openssl rand -base64 32".`,
    );
  }
  return encryptionKey(new Secret(bytes.toString('base64')));
}
