import { ConnectionError, ErrorCode } from './errors.js';
import { huffmanDecode } from './huffman.js';
import { STATIC_TABLE } from './static-table.js';

/**
 * HPACK (RFC 7541) without a dynamic table in either direction. We announce SETTINGS_HEADER_TABLE_SIZE 0, which binds
 * the peer once it has acknowledged it. {@link Connection.open} waits for that acknowledgement before the first
 * request, and a server sends no header block before a request: no block can use a table that we don't have.
 * So a header block has a meaning of its own, and repeated ones are cached by their bytes.
 */
export type HeaderField = readonly [name: string, value: string];

/** Bounds what a block of one-byte indexes grows to. */
const MAX_FIELDS = 256;

/**
 * What begins the first block that we send: the size of our table is 0, whatever the peer allows now or later
 * (RFC 7541, section 4.2).
 */
export const TABLE_SIZE_ZERO = Buffer.from([0x20]);

/** @throws ConnectionError (COMPRESSION_ERROR) where it isn't a header block, or needs a dynamic table */
export function decodeHeaderBlock(block: Buffer): HeaderField[] {
  const reader = new BlockReader(block);
  const fields: HeaderField[] = [];
  while (reader.more) {
    const first = reader.peek();
    if ((first & 0x80) !== 0) {
      fields.push(staticEntry(reader.integer(7)));
    } else if ((first & 0xe0) === 0x20) {
      if (fields.length > 0 || reader.integer(5) !== 0) {
        throw compressionError('a table size update that is late or above our limit of 0');
      }
    } else {
      // With incremental indexing (6 bits): an entry larger than the table leaves it empty (section 4.4).
      const index = reader.integer((first & 0x40) === 0 ? 4 : 6);
      fields.push([index === 0 ? reader.text() : staticEntry(index)[0], reader.text()]);
    }
    if (fields.length > MAX_FIELDS) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many header fields');
    }
  }
  return fields;
}

/** One field as a literal that no table takes in; `secret` forbids it to intermediaries too. Values are Latin-1. */
export function encodeLiteral(name: string, value: string, secret = false): Buffer {
  const index = STATIC_TABLE.findIndex(([known]) => known === name) + 1;
  const first = secret ? 0x10 : 0x00;
  return Buffer.concat([
    encodeInteger(index, 4, first),
    ...(index === 0 ? [encodeText(name)] : []),
    encodeText(value),
  ]);
}

/** One field as an index of the static table where it is there, else as a literal. */
export function encodeField(name: string, value: string): Buffer {
  const index = STATIC_TABLE.findIndex(([known, its]) => known === name && its === value) + 1;
  return index === 0 ? encodeLiteral(name, value) : encodeInteger(index, 7, 0x80);
}

/** An integer with a prefix of so many bits (section 5.1). */
export function encodeInteger(value: number, prefixBits: number, first: number): Buffer {
  const limit = (1 << prefixBits) - 1;
  if (value < limit) {
    return Buffer.from([first | value]);
  }
  const bytes = [first | limit];
  let rest = value - limit;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
    bytes.push((rest % 0x80) | 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([encodeInteger(bytes.length, 7, 0), bytes]);
}

/**
 * Header blocks by their bytes, with what they mean. etcd's answers differ in their messages and hardly ever in their
 * headers. It keeps small blocks only, and starts anew when it is full.
 */
export class BlockCache<T> {
  readonly #interpret: (fields: readonly HeaderField[]) => T;
  readonly #known = new Map<string, T>();

  constructor(interpret: (fields: readonly HeaderField[]) => T) {
    this.#interpret = interpret;
  }

  get(block: Buffer): T {
    if (block.length > MAX_CACHED_BLOCK_BYTES) {
      return this.#interpret(decodeHeaderBlock(block));
    }
    const key = block.toString('latin1', 0, block.length);
    let meaning = this.#known.get(key);
    if (meaning === undefined) {
      meaning = this.#interpret(decodeHeaderBlock(block));
      if (this.#known.size >= MAX_CACHED_BLOCKS) {
        this.#known.clear();
      }
      this.#known.set(key, meaning);
    }
    return meaning;
  }
}

const MAX_CACHED_BLOCK_BYTES = 256;
const MAX_CACHED_BLOCKS = 64;

function staticEntry(index: number): HeaderField {
  const entry = STATIC_TABLE[index - 1];
  if (entry === undefined) {
    throw compressionError(`no entry ${index} without a dynamic table`);
  }
  return entry;
}

class BlockReader {
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

function compressionError(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.COMPRESSION_ERROR, message);
}
