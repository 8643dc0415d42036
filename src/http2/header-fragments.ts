import { ConnectionError, ErrorCode } from './errors.js';

const MAX_FRAGMENTS = 16;

/** A header block that is cut into HEADERS and CONTINUATIONs. */
export class HeaderFragments {
  /** The stream whose header block is unfinished, or 0. */
  streamId = 0;
  endStream = false;
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  begin(streamId: number, fragment: Buffer, endStream: boolean): void {
    this.streamId = streamId;
    this.endStream = endStream;
    this.add(fragment);
  }

  /** @throws ConnectionError where the block becomes too large, in bytes or in frames */
  add(fragment: Buffer): void {
    this.#bytes += fragment.length;
    this.#parts.push(fragment);
    if (this.#bytes > this.#maxBytes || this.#parts.length > MAX_FRAGMENTS) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'a header block is too large');
    }
  }

  /** The whole block. */
  take(): Buffer {
    const block = Buffer.concat(this.#parts, this.#bytes);
    this.clear();
    return block;
  }

  clear(): void {
    this.streamId = 0;
    this.#parts = [];
    this.#bytes = 0;
  }
}
