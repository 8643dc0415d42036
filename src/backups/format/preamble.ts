import { BackupDamaged } from './records.js';

const MAGIC = Buffer.from('ETCDBKUP', 'latin1');
const VERSION = 1;
const KEY_ID_AT = 12;
const SALT_AT = 16;
export const SALT_BYTES = 32;
export const PREAMBLE_BYTES = SALT_AT + SALT_BYTES;

/** What stands at the beginning of a backup's bytes, not sealed. */
export interface Preamble {
  compression: number;
  /** Of the encryption key that the backup's own key is derived from: 8 hexadecimal digits. */
  keyId: string;
  salt: Buffer;
}

export function writePreamble({ compression, keyId, salt }: Preamble): Buffer {
  const bytes = Buffer.alloc(PREAMBLE_BYTES);
  MAGIC.copy(bytes);
  bytes[8] = VERSION;
  bytes[9] = compression;
  bytes.write(keyId, KEY_ID_AT, 'hex');
  salt.copy(bytes, SALT_AT);
  return bytes;
}

/** @throws BackupDamaged */
export function readPreamble(bytes: Buffer): Preamble {
  if (bytes.length < PREAMBLE_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new BackupDamaged('This is not a backup of compose-etcd-broker.');
  }
  if (bytes[8] !== VERSION) {
    throw new BackupDamaged(`The backup has the format ${bytes[8]}, which this release does not know.`);
  }
  return {
    compression: bytes[9] as number,
    keyId: bytes.toString('hex', KEY_ID_AT, SALT_AT),
    salt: bytes.subarray(SALT_AT, PREAMBLE_BYTES),
  };
}
