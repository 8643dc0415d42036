import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Secret } from './secret.js';

/** Changes when the meaning of tokens changes, so that old ones end. */
const PURPOSE = 'compose-etcd-broker administration token 1';
const TOKEN = /^b\.([A-Za-z0-9_-]{1,1400})\.([A-Za-z0-9_-]{43})$/;

export interface TokenOwner {
  binding_id: string;
  username: string;
  password: Secret;
}

/**
 * The token of the administration API that a binding was made with: `b.<base64url binding id>.<base64url HMAC>`. It
 * follows from the binding's password, so there is nothing to keep, and it ends with the password and the binding.
 */
export function administrationToken({ binding_id, username, password }: TokenOwner): string {
  // User names are used once, so no two bindings have the same text.
  const mac = createHmac('sha256', password.reveal()).update(`${PURPOSE} ${username}`, 'utf8');
  return `b.${Buffer.from(binding_id, 'utf8').toString('base64url')}.${mac.digest('base64url')}`;
}

/** Whose token it claims to be; undefined when it is none of this form. */
export function claimedBinding(token: string): string | undefined {
  const [, id] = TOKEN.exec(token) ?? [];
  return id === undefined ? undefined : Buffer.from(id, 'base64url').toString('utf8');
}

/** Whether a token is the owner's. The comparison takes constant time. */
export function isTokenOf(owner: TokenOwner, token: string): boolean {
  const [expected, given] = [administrationToken(owner), token].map((text) => Buffer.from(text, 'utf8'));
  return expected?.length === given?.length && timingSafeEqual(expected as Buffer, given as Buffer);
}
