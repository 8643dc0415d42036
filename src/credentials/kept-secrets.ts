import { createHash, randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { readIfPresent, writeDurably } from '../clusters/embedded/durable-file.js';
import type { EncryptionKey } from './seal.js';
import { Secret } from './secret.js';

/** A secret that was made here once and is kept in a file that only its owner can read. */
export interface KeptSecret {
  secret: Secret;
  /** Absolute path. */
  file: string;
  /** Whether this start made it. */
  isNew: boolean;
}

/** The password for the platform, made at the first start with an embedded cluster. */
export function keptBrokerPassword(dataDir: string): Promise<KeptSecret> {
  return keep(path.join(dataDir, 'broker-password'), () => randomBytes(24).toString('base64url'));
}

/** The key that seals records, made at the first start with an embedded cluster. */
export async function keptEncryptionKey(dataDir: string): Promise<EncryptionKey> {
  const { secret } = await keep(path.join(dataDir, 'broker-encryption-key'), () =>
    randomBytes(32).toString('base64'),
  );
  const id = createHash('sha256').update(Buffer.from(secret.reveal(), 'base64')).digest('hex').slice(0, 8);
  return { id, key: secret };
}

async function keep(file: string, make: () => string): Promise<KeptSecret> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const kept = (await readIfPresent(file))?.trim();
  if (kept) {
    return { secret: new Secret(kept), file, isNew: false };
  }
  const made = make();
  await writeDurably(file, `${made}\n`, 0o600);
  return { secret: new Secret(made), file, isNew: true };
}
