import { randomBytes } from 'node:crypto';
import type { StreamKeys } from '../../broker/ports.js';
import { readAhead } from '../read-ahead.js';
import { COMPRESSION, compressed } from './compression.js';
import { FrameChunks } from './frame-chunks.js';
import { headerFrame, trailerFrame } from './frames.js';
import { SALT_BYTES, writePreamble } from './preamble.js';
import type { BackupCounts, BackupHeader, BackupRecord, BackupTrailer } from './records.js';
import { type Chunk, seal } from './sealed-stream.js';

/** What the key of a backup is derived for; changes when the meaning of its bytes does. */
export const KEY_PURPOSE = 'compose-etcd-broker backup 1';

/** Counts what goes by. */
export class Counting {
  readonly #counts = { key_spaces: 0, leases: 0, keys: 0, bytes: 0 };

  add(record: BackupRecord): void {
    switch (record.type) {
      case 'key space':
        this.#counts.key_spaces += 1;
        break;
      case 'lease':
        this.#counts.leases += 1;
        break;
      case 'key':
        this.#counts.keys += 1;
        this.#counts.bytes += record.key.length + record.value.length;
        break;
    }
  }

  get counts(): BackupCounts {
    return { ...this.#counts };
  }
}

/**
 * The bytes of a backup, piece by piece, as docs/backup-format.md tells.
 * @param header is asked for when the first records have come, since only then the revision is known
 * @param pages records in order, some at a time
 * @param onEnd is told what the trailer says
 */
export async function* backupBytes(
  header: () => BackupHeader,
  pages: AsyncIterable<Iterable<BackupRecord>>,
  keys: StreamKeys,
  onEnd: (trailer: BackupTrailer) => void,
): AsyncGenerator<Buffer> {
  const salt = randomBytes(SALT_BYTES);
  const preamble = writePreamble({ compression: COMPRESSION, keyId: keys.newestKeyId, salt });
  yield preamble;
  const chunks = readAhead(compressed(chunksOf(header, readAhead(pages), onEnd)));
  yield* seal(chunks, keys.derive(KEY_PURPOSE, salt), preamble);
}

async function* chunksOf(
  header: () => BackupHeader,
  pages: AsyncIterable<Iterable<BackupRecord>>,
  onEnd: (trailer: BackupTrailer) => void,
): AsyncGenerator<Chunk['parts']> {
  const chunks = new FrameChunks();
  const counting = new Counting();
  let isFirst = true;
  for await (const records of pages) {
    if (isFirst) {
      isFirst = false;
      chunks.addFrame(headerFrame(header()));
    }
    for (const record of records) {
      counting.add(record);
      chunks.add(record);
      yield* chunks.take();
    }
  }
  const trailer: BackupTrailer = { ...counting.counts, sha256: chunks.sha256() };
  onEnd(trailer);
  chunks.addFrame(trailerFrame(trailer));
  yield* chunks.end();
}
