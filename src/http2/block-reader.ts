import { ConnectionError, ErrorCode } from './errors.js';
import { huffmanDecode } from './huffman.js';

/** Reads the integers and strings of a header block (RFC 7541, section 5). */
export class BlockReader {
  readonly #block: Buffer;
  #at = 0;

  constructor(block: Buffer) {
    this.#block = block;
  }

  get more(): boolean {
    return this.#at < this.#block.length;
  }

  peek(): number {
    return this.#block[this.#at] as number;
  }

  integer(prefixBits: number): number {
    const limit = (1 << prefixBits) - 1;
    let value = this.#byte() & limit;
    if (value < limit) {
      return value;
    }
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) {
        return value;
      }
    }
    throw compressionError('an integer that is too large');
  }

  text(): string {
    const huffman = this.more && (this.peek() & 0x80) !== 0;
    const length = this.integer(7);
    const end = this.#at + length;
    if (end > this.#block.length) {
      throw compressionError('a string that is cut off');
    }
    const bytes = this.#block.subarray(this.#at, end);
    this.#at = end;
    return huffman ? huffmanDecode(bytes) : bytes.toString('latin1', 0, length);
  }

  #byte(): number {
    const byte = this.#block[this.#at++];
    if (byte === undefined) {
      throw compressionError('a header block that is cut off');
    }
    return byte;
  }
}

export function compressionError(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.COMPRESSION_ERROR, message);
}
