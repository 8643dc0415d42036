import { type Duplex, Readable } from 'node:stream';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { BackupDamaged } from './records.js';

/** Node has Zstandard from 22.15 on. */
interface Zstd {
  createZstdCompress?: (options: { params: Record<number, number> }) => Duplex;
  createZstdDecompress?: () => Duplex;
}

/** `ZSTD_c_compressionLevel` (zstd.h). */
const ZSTD_LEVEL = 100;
const zstd: Zstd = zlib as Zstd;
const gzip = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.gzip);

/** Named by a byte in the preamble. */
export const Compression = { gzip: 1, zstd: 2 } as const;
export type Compression = (typeof Compression)[keyof typeof Compression];

/** The best that this Node has. */
export const COMPRESSION: Compression =
  zstd.createZstdCompress === undefined ? Compression.gzip : Compression.zstd;

/** So much of a piece is tried out, in so many places. */
const SAMPLE_BYTES = 2_048;
const SAMPLES = 3;
/** What does not become smaller than this part of itself is not worth gzip's time, which is longer than etcd's. */
const WORTH = 0.9;

/**
 * Compresses pieces: as one frame of Zstandard, or each as a member of gzip's (RFC 1952, section 2.2), at its quickest,
 * and not at all where that would gain nothing.
 */
export async function* compress(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (zstd.createZstdCompress !== undefined) {
    yield* through(zstd.createZstdCompress({ params: { [ZSTD_LEVEL]: 1 } }), pieces);
    return;
  }
  for await (const piece of pieces) {
    const isStored = !isWorth(piece);
    // What is stored comes out in one piece, without another copy.
    const chunkSize = isStored ? piece.length + (64 << 10) : 256 << 10;
    yield await gzip(piece, { level: isStored ? 0 : 1, chunkSize });
  }
}

async function* through(stream: Duplex, pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const source = Readable.from(pieces, { objectMode: false, highWaterMark: 1 });
  source.on('error', (error) => stream.destroy(error));
  source.pipe(stream);
  try {
    yield* stream;
  } finally {
    source.destroy();
    stream.destroy();
  }
}

function isWorth(piece: Uint8Array): boolean {
  const step = Math.floor(piece.length / SAMPLES);
  if (step <= SAMPLE_BYTES) {
    return true;
  }
  const samples = Array.from({ length: SAMPLES }, (_, at) =>
    piece.subarray(at * step, at * step + SAMPLE_BYTES),
  );
  const all = Buffer.concat(samples);
  return zlib.deflateRawSync(all, { level: 1 }).length < all.length * WORTH;
}

/** @throws BackupDamaged for a compression that this Node has not, or nobody has */
export function decompressor(compression: number): Duplex {
  if (compression === Compression.gzip) {
    return zlib.createGunzip({ chunkSize: 64 * 1024 });
  }
  if (compression === Compression.zstd) {
    if (zstd.createZstdDecompress === undefined) {
      throw new BackupDamaged('The backup is compressed with Zstandard, which needs Node.js 22.15 or later.');
    }
    return zstd.createZstdDecompress();
  }
  throw new BackupDamaged(`The backup is compressed in a way that is not known (${compression}).`);
}
