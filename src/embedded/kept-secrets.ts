import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { type EncryptionKey, encryptionKey } from '../credentials/seal.js';
import { Secret } from '../credentials/secret.js';
import { readIfPresent, writeDurably } from './durable-file.js';
import { isFounded } from './layout.js';

/** A secret that was made here once and is kept in a file of `DATA_DIR` that only its owner can read. */
export interface KeptSecret {
  secret: Secret;
  /** Absolute path. */
  file: string;
  /** Whether this start made it. */
  isNew: boolean;
}

interface Kind {
  file: string;
  form: RegExp;
  make: () => string;
  /** What can be done when the file is gone although the cluster is there; undefined when a new one does no harm. */
  remedy?: string;
}

/** The user that goes with the kept password, where none is configured. */
export const EMBEDDED_USERNAME = 'broker';

const BROKER_PASSWORD: Kind = { file: 'broker-password', form: /^\S{12,}$/, make: newPassword };
const ROOT_PASSWORD: Kind = {
  file: 'etcd-root-password',
  form: /^\S+$/,
  make: newPassword,
  remedy: 'restore it from a backup, or use another DATA_DIR',
};
/** A new one does no harm: root sets it. */
const PORTAL_PASSWORD: Kind = { file: 'etcd-portal-password', form: /^\S+$/, make: newPassword };
const ENCRYPTION_KEY: Kind = {
  file: 'broker-encryption-key',
  form: /^[A-Za-z0-9+/]{43}=$/,
  make: () => randomBytes(32).toString('base64'),
  remedy: 'restore it from a backup, or set BROKER_ENCRYPTION_KEY to the key that sealed the records',
};

/** The password for the platform, made at the first start with an embedded cluster. */
export function keptBrokerPassword(dataDir: string): Promise<KeptSecret> {
  return keep(dataDir, BROKER_PASSWORD);
}

/** The password of etcd's root, made at the first start; written before etcd learns it. */
export async function keptRootPassword(dataDir: string): Promise<Secret> {
  return (await keep(dataDir, ROOT_PASSWORD)).secret;
}

/** The password of the portals' etcd user, made at the first start with portals. */
export async function keptPortalPassword(dataDir: string): Promise<Secret> {
  return (await keep(dataDir, PORTAL_PASSWORD)).secret;
}

/** The key that seals records, made before the first start of the embedded cluster. */
export async function keptEncryptionKey(dataDir: string): Promise<EncryptionKey> {
  return encryptionKey((await keep(dataDir, ENCRYPTION_KEY)).secret);
}

/**
 * The same for tools beside a broker, which must not make one: undefined when there is none.
 * @throws Error with one line when the file is damaged
 */
export async function presentEncryptionKey(dataDir: string): Promise<EncryptionKey | undefined> {
  const secret = await read(dataDir, ENCRYPTION_KEY);
  return secret && encryptionKey(secret);
}

/**
 * The password for the platform, for tools beside a broker: undefined when there is none.
 * @throws Error with one line when the file is damaged
 */
export function presentBrokerPassword(dataDir: string): Promise<Secret | undefined> {
  return read(dataDir, BROKER_PASSWORD);
}

function newPassword(): string {
  return randomBytes(24).toString('base64url');
}

/** @throws Error with one line when the file is damaged, or is gone and must not be replaced */
async function keep(dataDir: string, kind: Kind): Promise<KeptSecret> {
  const file = path.join(dataDir, kind.file);
  const kept = await read(dataDir, kind);
  if (kept !== undefined) {
    return { secret: kept, file, isNew: false };
  }
  if (kind.remedy !== undefined && (await isFounded(dataDir))) {
    throw new Error(`The file ${file} is missing, which belongs to the etcd in DATA_DIR: ${kind.remedy}`);
  }
  const made = kind.make();
  await writeDurably(file, `${made}\n`, 0o600);
  return { secret: new Secret(made), file, isNew: true };
}

async function read(dataDir: string, kind: Kind): Promise<Secret | undefined> {
  const file = path.join(dataDir, kind.file);
  const text = (await readIfPresent(file))?.trim();
  if (text !== undefined && !kind.form.test(text)) {
    throw new Error(
      `The file ${file} is damaged: ${kind.remedy ?? 'restore it from a backup, or remove it to have a new one made'}`,
    );
  }
  return text === undefined ? undefined : new Secret(text);
}
