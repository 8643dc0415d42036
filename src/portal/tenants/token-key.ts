import { randomBytes } from 'node:crypto';
import { SealError } from '../../broker/errors.js';
import { Secret } from '../../credentials/secret.js';
import { PORTAL_REGION } from './directory.js';
import type { SealOpener } from './records.js';

export const TOKEN_KEY = `${PORTAL_REGION}token-key`;
const KEY_BYTES = 32;

/** Where the key is kept. */
export interface OnceRecord {
  /** The value of a key, undefined when there is none; a linearizable read. */
  read(key: string): Promise<Buffer | undefined>;
  /**
   * Writes a key if there is none (a transaction on create_revision 0).
   * @returns the value that is there afterwards: this one, or what somebody else wrote before
   */
  createIfAbsent(key: string, value: Buffer): Promise<Buffer>;
}

export interface Seals extends SealOpener {
  seal(secret: Secret, purpose: string): string;
}

/**
 * The key of all portals' tokens: read from the records, or made once. Two portals that start at the same moment both
 * get what the first of them wrote.
 * @returns 32 bytes
 * @throws SealError when it was sealed under a key that this portal does not have
 */
export async function tokenKey(record: OnceRecord, seals: Seals): Promise<Buffer> {
  const value = (await record.read(TOKEN_KEY)) ?? (await record.createIfAbsent(TOKEN_KEY, newKey(seals)));
  return openTokenKey(value, seals);
}

/** @param value the record as it is in etcd @throws SealError */
export function openTokenKey(value: Buffer, seals: SealOpener): Buffer {
  const key = Buffer.from(seals.open(value.toString('utf8'), TOKEN_KEY).reveal(), 'base64');
  if (key.length !== KEY_BYTES) {
    throw new SealError("The portals' token key does not have 32 bytes.");
  }
  return key;
}

function newKey(seals: Seals): Buffer {
  const key = new Secret(randomBytes(KEY_BYTES).toString('base64'));
  return Buffer.from(seals.seal(key, TOKEN_KEY), 'utf8');
}

/** The same key, sealed under the newest encryption key. @throws SealError */
export function resealTokenKey(value: Buffer, seals: Seals): Buffer {
  const sealed = seals.open(value.toString('utf8'), TOKEN_KEY);
  return Buffer.from(seals.seal(sealed, TOKEN_KEY), 'utf8');
}
