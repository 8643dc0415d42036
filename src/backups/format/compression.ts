import type { Duplex } from 'node:stream';
import zlib from 'node:zlib';
import { BackupDamaged } from './records.js';

/** Node has Zstandard from 22.15 on. */
interface Zstd {
  createZstdCompress?: () => Duplex;
  createZstdDecompress?: () => Duplex;
}

const zstd: Zstd = zlib as Zstd;

/** Named by a byte in the preamble. */
export const Compression = { gzip: 1, zstd: 2 } as const;
export type Compression = (typeof Compression)[keyof typeof Compression];

/** The best that this Node has. */
export const COMPRESSION: Compression =
  zstd.createZstdCompress === undefined ? Compression.gzip : Compression.zstd;

export function compressor(compression: Compression): Duplex {
  // The quickest level: a backup is to be done soon, and most of what it saves is saved by any.
  return compression === Compression.zstd && zstd.createZstdCompress !== undefined
    ? zstd.createZstdCompress()
    : zlib.createGzip({ level: 1, chunkSize: 64 * 1024 });
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
