import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { BackupDamaged } from './records.js';
import { CHUNK_BYTES, type Chunk } from './sealed-stream.js';

type OneShot = (bytes: Uint8Array, options: object) => Promise<Buffer>;

/** Node has Zstandard from 22.15 on. */
interface Zstd {
  zstdCompress?: unknown;
  zstdDecompress?: unknown;
}

/** `ZSTD_c_compressionLevel` (zstd.h). */
const ZSTD_LEVEL = 100;
/** So much of a chunk is tried out, in so many places. */
const SAMPLE_BYTES = 2_048;
const SAMPLES = 3;
/** What does not become smaller than this part of itself is not worth the time, which can be longer than etcd's. */
const WORTH = 0.9;

const { zstdCompress, zstdDecompress } = zlib as Zstd;
const oneShot = (call: unknown) => promisify(call as typeof zlib.deflateRaw) as OneShot;
const deflate = oneShot(zlib.deflateRaw);
const inflate = oneShot(zlib.inflateRaw);

/** Named by a byte in the preamble. */
export const Compression = { deflate: 1, zstd: 2 } as const;
export type Compression = (typeof Compression)[keyof typeof Compression];

/** The best that this Node has. */
export const COMPRESSION: Compression = zstdCompress === undefined ? Compression.deflate : Compression.zstd;

const [compress, options]: [OneShot, object] =
  zstdCompress === undefined
    ? [deflate, { level: 1 }]
    : [oneShot(zstdCompress), { params: { [ZSTD_LEVEL]: 1 } }];

/** Compresses each chunk by itself, where it gains something. */
export async function* compressed(chunks: AsyncIterable<Chunk['parts']>): AsyncGenerator<Chunk> {
  for await (const parts of chunks) {
    yield (await smaller(parts)) ?? { parts, isCompressed: false };
  }
}

async function smaller(parts: Chunk['parts']): Promise<Chunk | undefined> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (!isPromising(parts)) {
    return undefined;
  }
  const bytes = parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts, length);
  const packed = await compress(bytes, options);
  return packed.length < length * WORTH ? { parts: [packed], isCompressed: true } : undefined;
}

function isPromising(parts: Chunk['parts']): boolean {
  const longest = parts.reduce((one, other) => (other.length > one.length ? other : one));
  const step = Math.floor(longest.length / SAMPLES);
  if (step <= SAMPLE_BYTES) {
    return true;
  }
  const samples = Array.from({ length: SAMPLES }, (_, at) =>
    longest.subarray(at * step, at * step + SAMPLE_BYTES),
  );
  return zlib.deflateRawSync(Buffer.concat(samples), { level: 1 }).length < SAMPLES * SAMPLE_BYTES * WORTH;
}

/** @throws BackupDamaged, also for a compression that this Node has not, or nobody has */
export async function decompress(bytes: Uint8Array, compression: number): Promise<Buffer> {
  try {
    return await decompressor(compression)(bytes, { maxOutputLength: CHUNK_BYTES });
  } catch (cause) {
    // zlib's own errors say nothing to an operator.
    throw cause instanceof BackupDamaged
      ? cause
      : new BackupDamaged('The backup can not be decompressed.', { cause });
  }
}

function decompressor(compression: number): OneShot {
  if (compression === Compression.deflate) {
    return inflate;
  }
  if (compression !== Compression.zstd) {
    throw new BackupDamaged(`The backup is compressed in a way that is not known (${compression}).`);
  }
  if (zstdDecompress === undefined) {
    throw new BackupDamaged('The backup is compressed with Zstandard, which needs Node.js 22.15 or later.');
  }
  return oneShot(zstdDecompress);
}
