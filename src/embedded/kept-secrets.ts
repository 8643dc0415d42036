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

/** The key that seals records, made at the first start with an embedded cluster. */
export async function keptEncryptionKey(dataDir: string): Promise<EncryptionKey> {
  const { secret } = await keep(encryptionKeyFile(dataDir), () => randomBytes(32).toString('base64'));
  return encryptionKey(secret);
}

/** The same for tools beside a broker, which must not make one: undefined when there is none. */
export async function presentEncryptionKey(dataDir: string): Promise<EncryptionKey | undefined> {
  const secret = await read(encryptionKeyFile(dataDir));
  return secret && encryptionKey(secret);
}

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
