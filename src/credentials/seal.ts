import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { SealError } from '../broker/errors.js';
import { Secret } from './secret.js';

/** One AES-256 key of `BROKER_ENCRYPTION_KEY`. */
export interface EncryptionKey {
  /** Names the key in a sealed text: the first 8 hexadecimal digits of the SHA-256 of its bytes. */
  id: string;
  /** 32 bytes, in base64. */
  key: Secret;
}

/** A key with the name that belongs to it. @param key 32 bytes, in base64 */
export function encryptionKey(key: Secret): EncryptionKey {
  const bytes = Buffer.from(key.reveal(), 'base64');
  return { id: createHash('sha256').update(bytes).digest('hex').slice(0, 8), key };
}

const VERSION = 'v1';
const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const MOST_RECENT = 256;

/**
 * Seals short secrets with AES-256-GCM under the first of several keys, and opens what any of them sealed.
 *
 * A sealed text is `v1.<key id>.<base64url of iv, tag and ciphertext>`. It is bound to a purpose (the place of
 * the record), so a sealed text that is copied to another record does not open there.
 */
export class Sealer {
  /** What was sealed here lately: a bind opens its own password twice within milliseconds. */
  readonly #recent = new Map<string, { secret: Secret; purpose: string }>();
  readonly #keys: readonly { id: string; bytes: Buffer }[];

  /** @param keys newest first; at least one */
  constructor(keys: readonly EncryptionKey[]) {
    this.#keys = keys.map(({ id, key }) => ({ id, bytes: Buffer.from(key.reveal(), 'base64') }));
    if (this.#keys.length === 0 || this.#keys.some(({ bytes }) => bytes.length !== KEY_BYTES)) {
      throw new SealError('An encryption key of 32 bytes is needed.');
    }
  }

  /** The id of the key that seals now. */
  get newestKeyId(): string {
    return this.#newest.id;
  }

  /** The ids of all keys, the newest first. */
  get keyIds(): string[] {
    return this.#keys.map(({ id }) => id);
  }

  get #newest() {
    return this.#keys[0] as { id: string; bytes: Buffer };
  }

  seal(secret: Secret, purpose: string): string {
    const iv = randomBytes(IV_BYTES);
    const { id, bytes } = this.#newest;
    const cipher = createCipheriv('aes-256-gcm', bytes, iv).setAAD(Buffer.from(purpose, 'utf8'));
    const sealed = Buffer.concat([cipher.update(secret.reveal(), 'utf8'), cipher.final()]);
    const text = `${VERSION}.${id}.${Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url')}`;
    this.#remember(text, secret, purpose);
    return text;
  }

  /** @throws SealError when the key is unknown or the text is not what was sealed for this purpose */
  open(text: string, purpose: string): Secret {
    const recent = this.#recent.get(text);
    if (recent?.purpose === purpose) {
      return recent.secret;
    }
    const [version, id, body] = text.split('.');
    if (version !== VERSION || id === undefined || body === undefined) {
      throw new SealError('A sealed secret has an unknown form.');
    }
    const key = this.#keys.find((candidate) => candidate.id === id);
    if (key === undefined) {
      throw new SealError(
        `A secret was sealed under the encryption key ${id}, which BROKER_ENCRYPTION_KEY does not hold.`,
      );
    }
    const bytes = Buffer.from(body, 'base64url');
    if (bytes.length < IV_BYTES + TAG_BYTES) {
      throw new SealError('A sealed secret is cut short.');
    }
    const decipher = createDecipheriv('aes-256-gcm', key.bytes, bytes.subarray(0, IV_BYTES), {
      authTagLength: TAG_BYTES,
    })
      .setAAD(Buffer.from(purpose, 'utf8'))
      .setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
    try {
      const opened = decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES));
      return new Secret(Buffer.concat([opened, decipher.final()]).toString('utf8'));
    } catch (cause) {
      throw new SealError(`A secret sealed under the encryption key ${id} was changed since.`, { cause });
    }
  }

  /**
   * A key for one stream of bytes, which is derived from an encryption key (HKDF with SHA-256, RFC 5869).
   * @param salt random, and never used twice
   * @param keyId the encryption key's; the newest where not given
   * @throws SealError when the key is not among these
   */
  derive(purpose: string, salt: Buffer, keyId = this.newestKeyId): Buffer {
    const key = this.#keys.find(({ id }) => id === keyId);
    if (key === undefined) {
      throw new SealError(
        `This needs the encryption key ${keyId}, which BROKER_ENCRYPTION_KEY does not hold.`,
      );
    }
    return Buffer.from(hkdfSync('sha256', key.bytes, salt, purpose, KEY_BYTES));
  }

  #remember(text: string, secret: Secret, purpose: string): void {
    this.#recent.set(text, { secret, purpose });
    if (this.#recent.size > MOST_RECENT) {
      this.#recent.delete(this.#recent.keys().next().value as string);
    }
  }

  /** The id of the key that a sealed text needs, or undefined when it has an unknown form. */
  static keyIdOf(text: string): string | undefined {
    const [version, id] = text.split('.');
    return version === VERSION ? id : undefined;
  }
}
