import { createHash } from 'node:crypto';
import type { StreamKeys } from '../../broker/ports.js';
import { readAhead } from '../read-ahead.js';
import { decompress } from './compression.js';
import { FrameReader } from './frames.js';
import { PREAMBLE_BYTES, readPreamble } from './preamble.js';
import { BackupDamaged, type BackupHeader, type BackupRecord, type BackupTrailer } from './records.js';
import { open } from './sealed-stream.js';
import { Counting, KEY_PURPOSE } from './write.js';

/** What is told of a backup while it is read. */
export interface BackupSink {
  /** Before all records. Throws to stop, e.g. since it is another instance's. */
  header(header: BackupHeader): void;
  /** Records in order, some at a time. They are parts of larger buffers. */
  records(records: readonly BackupRecord[]): Promise<void>;
}

/**
 * Reads a backup. What the sink is told was written by a holder of the key; that nothing is missing is known only when
 * this returns.
 * @throws BackupDamaged, SealError, and what the sink throws
 */
export async function readBackup(
  pieces: AsyncIterable<Uint8Array>,
  keys: StreamKeys,
  sink: BackupSink,
): Promise<BackupTrailer> {
  const { preamble, rest } = await afterPreamble(pieces);
  const { compression, keyId, salt } = readPreamble(preamble);
  const opened = open(rest, keys.derive(KEY_PURPOSE, salt, keyId), preamble);
  return readFrames(readAhead(decompressed(opened, compression)), sink);
}

async function* decompressed(chunks: ReturnType<typeof open>, compression: number): AsyncGenerator<Buffer> {
  for await (const { bytes, isCompressed } of chunks) {
    yield isCompressed ? await decompress(bytes, compression) : bytes;
  }
}

async function readFrames(pieces: AsyncIterable<Buffer>, sink: BackupSink): Promise<BackupTrailer> {
  const reader = new FrameReader();
  const digest = createHash('sha256');
  const counting = new Counting();
  let hasHeader = false;
  let trailer: BackupTrailer | undefined;
  for await (const piece of pieces) {
    const records: BackupRecord[] = [];
    for (const { frame, bytes } of reader.read(piece)) {
      if (trailer !== undefined || hasHeader === (frame.type === 'header')) {
        throw new BackupDamaged('The parts of the backup are not in order.');
      }
      if (frame.type === 'trailer') {
        trailer = frame.trailer;
        continue;
      }
      digest.update(bytes);
      if (frame.type === 'header') {
        hasHeader = true;
        sink.header(frame.header);
      } else {
        counting.add(frame.record);
        records.push(frame.record);
      }
    }
    if (records.length > 0) {
      await sink.records(records);
    }
  }
  if (trailer === undefined || reader.incomplete) {
    throw new BackupDamaged('The backup has no end.');
  }
  const { sha256, ...told } = trailer;
  const { counts } = counting;
  if (
    sha256 !== digest.digest('hex') ||
    Object.entries(counts).some(([name, count]) => told[name as keyof typeof told] !== count)
  ) {
    throw new BackupDamaged('The backup does not hold what its end says.');
  }
  return trailer;
}

async function afterPreamble(
  pieces: AsyncIterable<Uint8Array>,
): Promise<{ preamble: Buffer; rest: AsyncIterable<Uint8Array> }> {
  const iterator = pieces[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < PREAMBLE_BYTES) {
    const { value, done } = await iterator.next();
    if (done) {
      break;
    }
    head = Buffer.concat([head, value]);
  }
  async function* rest(): AsyncGenerator<Uint8Array> {
    try {
      yield head.subarray(PREAMBLE_BYTES);
      for (;;) {
        const { value, done } = await iterator.next();
        if (done) {
          return;
        }
        yield value;
      }
    } finally {
      await iterator.return?.();
    }
  }
  return { preamble: head.subarray(0, PREAMBLE_BYTES), rest: rest() };
}
