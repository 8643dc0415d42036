import { createHmac, timingSafeEqual } from 'node:crypto';
import type { TenantFinder } from './passwords.js';
import type { Tenant } from './tenant.js';

/** Changes when the meaning of tokens changes, so that old ones end. */
const PURPOSE = 'compose-etcd-broker portal token 1';
/** A user name, a dot and 43 characters of base64url; anything longer is not looked at. */
const MOST_CHARACTERS = 256;
/** So many good tokens are remembered; the others cost an HMAC at each use. */
const MOST_KNOWN = 16_384;

/**
 * The tokens that tenants get from Authenticate: `<user name>.<base64url HMAC-SHA256>`, good in an HTTP header.
 *
 * They hold no state, so every portal that has the key takes them, also after a restart. The HMAC covers the user name
 * and the digest of the password: a token dies with its binding and with its password, and at no other time.
 */
export class Tokens {
  #key: Buffer;
  /**
   * Good tokens only, each as it was computed here. A hit costs one lookup; the map's comparison is not in constant
   * time, but runs only for a text with the same seeded hash.
   */
  readonly #known = new Map<string, Tenant>();

  /** @param key 32 random bytes, the same at all portals, see `token-key.ts` */
  constructor(
    readonly tenants: TenantFinder,
    key: Buffer,
    readonly mostKnown = MOST_KNOWN,
  ) {
    this.#key = key;
  }

  /** Takes another key; every token that was given out under the old one is bad from now on. */
  changeKey(key: Buffer): void {
    if (!key.equals(this.#key)) {
      this.#key = key;
      this.#known.clear();
    }
  }

  issue({ username, passwordDigest }: Tenant): string {
    // The digest has a fixed length and comes first, so no two pairs give the same text.
    const mac = createHmac('sha256', this.#key)
      .update(PURPOSE, 'utf8')
      .update(passwordDigest, 'latin1')
      .update(username, 'utf8')
      .digest('base64url');
    return `${username}.${mac}`;
  }

  /** @returns undefined when the token is not good now: the answer is etcd's "invalid auth token" */
  verify(token: string): Tenant | undefined {
    const tenant = this.#known.get(token);
    return tenant !== undefined && !tenant.isGone ? tenant : this.#verifyUnknown(token);
  }

  #verifyUnknown(token: string): Tenant | undefined {
    this.#known.delete(token);
    if (token.length > MOST_CHARACTERS) {
      return undefined;
    }
    const tenant = this.tenants.find(token.slice(0, Math.max(0, token.lastIndexOf('.'))));
    if (tenant === undefined) {
      return undefined;
    }
    const issued = this.issue(tenant);
    const expected = Buffer.from(issued, 'utf8');
    const given = Buffer.from(token, 'utf8');
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      return undefined;
    }
    this.#known.set(issued, tenant);
    if (this.#known.size > this.mostKnown) {
      this.#known.delete(this.#known.keys().next().value as string);
    }
    return tenant;
  }
}
