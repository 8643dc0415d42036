import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { type EncryptionKey, encryptionKey } from '../credentials/seal.js';
import { Secret } from '../credentials/secret.js';
import { readIfPresent, writeDurably } from './durable-file.js';

/** A secret that was made here once and is kept in a file of `DATA_DIR` that only its owner can read. */
export interface KeptSecret {
  secret: Secret;
  /** Absolute path. */
  file: string;
  /** Whether this start made it. */
  isNew: boolean;
}

/** The password for the platform, made at the first start with an embedded cluster. */
export function keptBrokerPassword(dataDir: string): Promise<KeptSecret> {
  return keep(path.join(dataDir, 'broker-password'), newPassword);
}

/** The password of etcd's root, made at the first start; written before etcd learns it. */
export async function keptRootPassword(dataDir: string): Promise<Secret> {
  return (await keep(path.join(dataDir, 'etcd-root-password'), newPassword)).secret;
}

/**
 * The key that seals records, made at the first start with an embedded cluster.
 * @param mayMake whether a missing one is made: not where records exist that another one has sealed
 * @throws Error with one line that names the file when it is damaged, or missing and must not be made
 */
export async function keptEncryptionKey(
  dataDir: string,
  mayMake: () => Promise<boolean> = async () => true,
): Promise<EncryptionKey> {
  const present = await presentEncryptionKey(dataDir);
  if (present !== undefined) {
    return present;
  }
  const file = encryptionKeyFile(dataDir);
  if (!(await mayMake())) {
    throw new Error(
      `${file} is missing, and the records in DATA_DIR are sealed with the key that it held. ${RESTORE_KEY}`,
    );
  }
  const { secret } = await keep(file, () => randomBytes(KEY_BYTES).toString('base64'));
  return encryptionKey(secret);
}

/**
 * The same for tools beside a broker, which must not make one: undefined when there is none.
 * @throws Error with one line when the file is damaged
 */
export async function presentEncryptionKey(dataDir: string): Promise<EncryptionKey | undefined> {
  const file = encryptionKeyFile(dataDir);
  const text = (await readIfPresent(file))?.trim();
  if (text === undefined) {
    return undefined;
  }
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) {
    throw new Error(`${file} is ${text === '' ? 'empty' : 'damaged'}. ${RESTORE_KEY}`);
  }
  return encryptionKey(new Secret(text));
}

const KEY_BYTES = 32;
const RESTORE_KEY =
  'Restore the file from a backup, or set BROKER_ENCRYPTION_KEY to the key. If it is lost for good, set BROKER_ENCRYPTION_KEY to a new one ("openssl rand -base64 32"), and the broker tells how to go on.';

function encryptionKeyFile(dataDir: string): string {
  return path.join(dataDir, 'broker-encryption-key');
}

function newPassword(): string {
  return randomBytes(24).toString('base64url');
}

async function keep(file: string, make: () => string): Promise<KeptSecret> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const kept = await read(file);
  if (kept !== undefined) {
    return { secret: kept, file, isNew: false };
  }
  const made = make();
  await writeDurably(file, `${made}\n`, 0o600);
  return { secret: new Secret(made), file, isNew: true };
}

async function read(file: string): Promise<Secret | undefined> {
  const text = (await readIfPresent(file))?.trim();
  return text ? new Secret(text) : undefined;
}
