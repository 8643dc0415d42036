import { createHash } from 'node:crypto';
import { frameLength, keyFrameHead, writeFrame } from './frames.js';
import type { BackupRecord } from './records.js';
import { CHUNK_BYTES, type Chunk } from './sealed-stream.js';

/** Short frames are gathered in buffers of this length; longer ones are not copied. In bytes. */
const BATCH_BYTES = 64 * 1024;

/** Lays frames one after the other into chunks, and adds up their SHA-256. */
export class FrameChunks {
  readonly #digest = createHash('sha256');
  #batch = Buffer.alloc(0);
  /** Of the batch so much is in chunks, and so much is written. */
  #from = 0;
  #at = 0;
  #parts: Uint8Array[] = [];
  #length = 0;
  #full: Chunk['parts'][] = [];

  add(record: BackupRecord): void {
    const length = frameLength(record);
    if (this.#at + length <= this.#batch.length) {
      this.#at = writeFrame(this.#batch, this.#at, record);
    } else if (length > BATCH_BYTES && record.type === 'key') {
      this.addFrame(keyFrameHead(record));
      this.#push(record.value);
    } else {
      this.#endBatch();
      this.#batch = Buffer.allocUnsafe(Math.max(length, BATCH_BYTES));
      this.#from = 0;
      this.#at = writeFrame(this.#batch, 0, record);
    }
  }

  /** Adds bytes of a frame. */
  addFrame(bytes: Uint8Array): void {
    this.#endBatch();
    this.#push(bytes);
  }

  /** The chunks that are full by now. */
  take(): Chunk['parts'][] {
    const full = this.#full;
    if (full.length > 0) {
      this.#full = [];
    }
    return full;
  }

  /** Of all frames so far, in hexadecimal. */
  sha256(): string {
    this.#endBatch();
    return this.#digest.copy().digest('hex');
  }

  /** What is left, which is one chunk at most. */
  end(): Chunk['parts'][] {
    this.#endBatch();
    const rest = this.take();
    return this.#length > 0 ? [...rest, this.#parts] : rest;
  }

  #endBatch(): void {
    if (this.#at > this.#from) {
      this.#push(this.#batch.subarray(this.#from, this.#at));
      this.#from = this.#at;
    }
  }

  #push(bytes: Uint8Array): void {
    this.#digest.update(bytes);
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + CHUNK_BYTES - this.#length);
      this.#parts.push(part);
      this.#length += part.length;
      at += part.length;
      if (this.#length === CHUNK_BYTES) {
        this.#full.push(this.#parts);
        [this.#parts, this.#length] = [[], 0];
      }
    }
  }
}
