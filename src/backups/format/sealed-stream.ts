import { createCipheriv, createDecipheriv } from 'node:crypto';
import { BackupDamaged } from './records.js';

/** A chunk's length before it is compressed, at most; in bytes. */
export const CHUNK_BYTES = 256 * 1024;
const LENGTH_BYTES = 4;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;

/** What is sealed at a time. */
export interface Chunk {
  /** Its bytes, in order. */
  parts: readonly Uint8Array[];
  isCompressed: boolean;
}

/** What is told of a chunk beside its bytes. */
interface Marks {
  isLast: boolean;
  isCompressed: boolean;
}

/**
 * Seals a stream in chunks with AES-256-GCM, after the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár,
 * 2015): the nonce counts the chunks and marks the last, so that none can be left out, moved or added. The key must be
 * used for one stream only.
 *
 * @param about is authenticated with each chunk, and not part of what comes out
 */
export async function* seal(
  chunks: AsyncIterable<Chunk>,
  key: Buffer,
  about: Buffer,
): AsyncGenerator<Buffer> {
  let before: Chunk | undefined;
  let number = 0;
  for await (const chunk of chunks) {
    if (before !== undefined) {
      yield* sealChunk(before, key, about, number, false);
      number += 1;
    }
    before = chunk;
  }
  yield* sealChunk(before ?? { parts: [], isCompressed: false }, key, about, number, true);
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
): AsyncGenerator<{ bytes: Buffer; isCompressed: boolean }> {
  let rest = Buffer.alloc(0);
  let number = 0;
  let isLast = false;
  for await (const piece of pieces) {
    rest = Buffer.concat([rest, piece]);
    let at = 0;
    while (rest.length - at >= LENGTH_BYTES) {
      const { length, ...marks } = readLength(rest, at);
      if (isLast || length > CHUNK_BYTES) {
        throw damaged(number);
      }
      const end = at + LENGTH_BYTES + length + TAG_BYTES;
      if (end > rest.length) {
        break;
      }
      isLast = marks.isLast;
      const bytes = openChunk(rest.subarray(at + LENGTH_BYTES, end), key, about, number, marks);
      yield { bytes, isCompressed: marks.isCompressed };
      number += 1;
      at = end;
    }
    rest = rest.subarray(at);
  }
  if (!isLast || rest.length > 0) {
    throw new BackupDamaged(`The backup is cut off in its chunk ${number + 1}.`);
  }
}

function* sealChunk(
  { parts, isCompressed }: Chunk,
  key: Buffer,
  about: Buffer,
  number: number,
  isLast: boolean,
): Generator<Buffer> {
  const marks = { isLast, isCompressed };
  const cipher = createCipheriv('aes-256-gcm', key, nonceOf(number, marks)).setAAD(about);
  yield writeLength(
    parts.reduce((sum, part) => sum + part.length, 0),
    marks,
  );
  for (const part of parts) {
    yield cipher.update(part);
  }
  cipher.final();
  yield cipher.getAuthTag();
}

function openChunk(sealed: Buffer, key: Buffer, about: Buffer, number: number, marks: Marks): Buffer {
  const at = sealed.length - TAG_BYTES;
  const nonce = nonceOf(number, marks);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
    .setAAD(about)
    .setAuthTag(sealed.subarray(at));
  try {
    const bytes = decipher.update(sealed.subarray(0, at));
    decipher.final();
    return bytes;
  } catch (cause) {
    throw damaged(number, cause);
  }
}

/** The marks stand in the upper bits of the length, where they are read, and in the nonce, which makes them sure. */
function writeLength(length: number, { isLast, isCompressed }: Marks): Buffer {
  const bytes = Buffer.alloc(LENGTH_BYTES);
  bytes.writeUInt32BE(length + (isLast ? 2 ** 31 : 0) + (isCompressed ? 2 ** 30 : 0));
  return bytes;
}

function readLength(bytes: Buffer, at: number): Marks & { length: number } {
  const word = bytes.readUInt32BE(at);
  return {
    length: word % 2 ** 30,
    isLast: word >= 2 ** 31,
    isCompressed: word % 2 ** 31 >= 2 ** 30,
  };
}

function nonceOf(number: number, { isLast, isCompressed }: Marks): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeBigUInt64BE(BigInt(number), NONCE_BYTES - 9);
  nonce[NONCE_BYTES - 1] = (isLast ? 1 : 0) | (isCompressed ? 2 : 0);
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
