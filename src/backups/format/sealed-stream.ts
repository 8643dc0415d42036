import { createCipheriv, createDecipheriv } from 'node:crypto';
import { BackupDamaged } from './records.js';

/** So much is sealed at a time, in bytes. */
export const CHUNK_BYTES = 256 * 1024;
const LENGTH_BYTES = 4;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;

/**
 * Seals a stream in chunks with AES-256-GCM, after the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár,
 * 2015): the nonce counts the chunks and marks the last, so that none can be left out, moved or added. The key must be
 * used for one stream only.
 *
 * @param about is authenticated with each chunk, and not part of what comes out
 */
export async function* seal(
  pieces: AsyncIterable<Uint8Array>,
  key: Buffer,
  about: Buffer,
): AsyncGenerator<Buffer> {
  let rest: Uint8Array = new Uint8Array(0);
  let number = 0;
  for await (const piece of pieces) {
    const sealed: Buffer[] = [];
    let at = 0;
    // One chunk stays behind, since the last one is marked.
    if (rest.length > 0 && rest.length + piece.length > CHUNK_BYTES) {
      at = CHUNK_BYTES - rest.length;
      sealed.push(...sealChunk([rest, piece.subarray(0, at)], key, about, number++, false));
      rest = rest.subarray(rest.length);
    }
    if (rest.length === 0) {
      for (; piece.length - at > CHUNK_BYTES; at += CHUNK_BYTES) {
        sealed.push(...sealChunk([piece.subarray(at, at + CHUNK_BYTES)], key, about, number++, false));
      }
    }
    rest = rest.length === 0 ? piece.subarray(at) : Buffer.concat([rest, piece]);
    if (sealed.length > 0) {
      yield Buffer.concat(sealed);
    }
  }
  yield Buffer.concat(sealChunk([rest], key, about, number, true));
}

/**
 * Opens what {@link seal} has sealed. What comes out was sealed with the key, in this order; the stream ends with an
 * error where something is missing.
 * @throws BackupDamaged
 */
export async function* open(
  pieces: AsyncIterable<Uint8Array>,
  key: Buffer,
  about: Buffer,
): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0);
  let number = 0;
  let isLast = false;
  for await (const piece of pieces) {
    rest = Buffer.concat([rest, piece]);
    let at = 0;
    while (rest.length - at >= LENGTH_BYTES) {
      const length = rest.readUInt32BE(at);
      // The upper bit marks the last chunk. It is checked by way of the nonce.
      const bytes = (length & 0x7fffffff) >>> 0;
      if (isLast || bytes > CHUNK_BYTES) {
        throw damaged(number);
      }
      const end = at + LENGTH_BYTES + bytes + TAG_BYTES;
      if (end > rest.length) {
        break;
      }
      isLast = length !== bytes;
      yield openChunk(rest.subarray(at + LENGTH_BYTES, end), key, about, number, isLast);
      number += 1;
      at = end;
    }
    rest = rest.subarray(at);
  }
  if (!isLast || rest.length > 0) {
    throw new BackupDamaged(`The backup is cut off in its chunk ${number + 1}.`);
  }
}

/** @param parts of the chunk, in order */
function sealChunk(
  parts: readonly Uint8Array[],
  key: Buffer,
  about: Buffer,
  number: number,
  isLast: boolean,
): Buffer[] {
  const cipher = createCipheriv('aes-256-gcm', key, nonceOf(number, isLast)).setAAD(about);
  const sealed = [...parts.map((part) => cipher.update(part)), cipher.final()];
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE((bytes | (isLast ? 0x80000000 : 0)) >>> 0);
  return [length, ...sealed, cipher.getAuthTag()];
}

function openChunk(sealed: Buffer, key: Buffer, about: Buffer, number: number, isLast: boolean): Buffer {
  const at = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(number, isLast), { authTagLength: TAG_BYTES })
    .setAAD(about)
    .setAuthTag(sealed.subarray(at));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(0, at)), decipher.final()]);
  } catch (cause) {
    throw damaged(number, cause);
  }
}

function nonceOf(number: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeBigUInt64BE(BigInt(number), NONCE_BYTES - 9);
  nonce[NONCE_BYTES - 1] = isLast ? 1 : 0;
  return nonce;
}

function damaged(number: number, cause?: unknown): BackupDamaged {
  return new BackupDamaged(
    `The backup was changed since it was made: its chunk ${number + 1} does not open.`,
    {
      cause,
    },
  );
}
