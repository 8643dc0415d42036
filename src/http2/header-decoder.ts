import { BlockReader, compressionError } from './block-reader.js';
import { ConnectionError, ErrorCode } from './errors.js';
import type { HeaderField } from './hpack.js';
import { STATIC_TABLE } from './static-table.js';

export interface HeaderDecoderOptions {
  /** What we announced as SETTINGS_HEADER_TABLE_SIZE. */
  tableBytes: number;
  maxFields: number;
  /** Of all names and values, with 32 bytes a field: a block of one-byte indexes can mean a thousand times its size. */
  maxListBytes: number;
}

/** Bounds for who announces no table: a client towards its server. */
export const WITHOUT_TABLE: HeaderDecoderOptions = {
  tableBytes: 0,
  maxFields: 256,
  maxListBytes: Number.POSITIVE_INFINITY,
};

/** What an entry counts for besides its bytes (RFC 7541, section 4.1). */
const ENTRY_OVERHEAD_BYTES = 32;

/**
 * A decoder of header blocks with the dynamic table of one connection (RFC 7541). Every block of the connection has to
 * go through it, in order, even of streams that nobody wants any more.
 *
 * Who announces SETTINGS_HEADER_TABLE_SIZE 0 may use it only after the peer has acknowledged that; a server can't wait
 * for it, since clients send requests at once, and keeps the protocol's 4,096 bytes.
 */
export class HeaderDecoder {
  /** Counts changes of the table and its size: while it stays the same, the same bytes mean the same fields. */
  version = 0;
  readonly #options: HeaderDecoderOptions;
  /** Newest last. */
  readonly #entries: HeaderField[] = [];
  #bytes = 0;
  #capacity: number;

  constructor(options: HeaderDecoderOptions) {
    this.#options = options;
    this.#capacity = options.tableBytes;
  }

  /** @throws ConnectionError (COMPRESSION_ERROR, or ENHANCE_YOUR_CALM beyond the bounds); it can't be used after that */
  decode(block: Buffer): HeaderField[] {
    const reader = new BlockReader(block);
    const fields: HeaderField[] = [];
    let listBytes = 0;
    while (reader.more) {
      const first = reader.peek();
      if ((first & 0xe0) === 0x20) {
        this.#resize(reader.integer(5), fields.length > 0);
        continue;
      }
      const field = (first & 0x80) !== 0 ? this.#entry(reader.integer(7)) : this.#literal(reader, first);
      fields.push(field);
      listBytes += sizeOf(field);
      if (fields.length > this.#options.maxFields || listBytes > this.#options.maxListBytes) {
        throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many header fields, or too large');
      }
    }
    return fields;
  }

  #literal(reader: BlockReader, first: number): HeaderField {
    const indexed = (first & 0x40) !== 0;
    const index = reader.integer(indexed ? 6 : 4);
    const field: HeaderField = [index === 0 ? reader.text() : this.#entry(index)[0], reader.text()];
    if (indexed) {
      this.#insert(field);
    }
    return field;
  }

  #entry(index: number): HeaderField {
    const entry =
      index <= STATIC_TABLE.length
        ? STATIC_TABLE[index - 1]
        : this.#entries[this.#entries.length - (index - STATIC_TABLE.length)];
    if (entry === undefined) {
      throw compressionError(`no entry ${index} in the tables`);
    }
    return entry;
  }

  /** An entry that is larger than the table leaves it empty (section 4.4). */
  #insert(field: HeaderField): void {
    const size = sizeOf(field);
    this.#evict(this.#capacity - size);
    if (size <= this.#capacity) {
      this.#entries.push(field);
      this.#bytes += size;
      this.version++;
    }
  }

  #resize(bytes: number, late: boolean): void {
    if (late || bytes > this.#options.tableBytes) {
      throw compressionError('a table size update that is late or above our limit');
    }
    if (bytes !== this.#capacity) {
      this.#capacity = bytes;
      this.version++;
      this.#evict(bytes);
    }
  }

  /** Drops the oldest entries until so many bytes at most are left. */
  #evict(limit: number): void {
    let dropped = 0;
    while (this.#bytes > limit && dropped < this.#entries.length) {
      this.#bytes -= sizeOf(this.#entries[dropped++] as HeaderField);
    }
    if (dropped > 0) {
      this.#entries.splice(0, dropped);
      this.version++;
    }
  }
}

function sizeOf([name, value]: HeaderField): number {
  return name.length + value.length + ENTRY_OVERHEAD_BYTES;
}

const MAX_CACHED_BLOCK_BYTES = 256;
const MAX_CACHED_BLOCKS = 64;
/** A connection's requests have one or two blocks that come again and again, its answers a head and trailers. */
const RECENT_BLOCKS = 4;

interface Recent<T> {
  readonly block: Buffer;
  readonly meaning: T;
}

/**
 * Header blocks by their bytes, with what they mean: a peer's calls differ in their messages and hardly ever in their
 * headers. It keeps small blocks only, starts anew when it is full, and whenever the dynamic table has changed.
 */
export class BlockCache<T> {
  readonly #decoder: HeaderDecoder;
  readonly #interpret: (fields: readonly HeaderField[]) => T;
  readonly #known = new Map<string, T>();
  /** Those found last: to compare bytes is cheaper than to make a text of them and to hash it. */
  #recent: Recent<T>[] = [];
  #version = 0;

  constructor(options: HeaderDecoderOptions, interpret: (fields: readonly HeaderField[]) => T) {
    this.#decoder = new HeaderDecoder(options);
    this.#interpret = interpret;
  }

  /** @throws ConnectionError as {@link HeaderDecoder.decode} */
  get(block: Buffer): T {
    const decoder = this.#decoder;
    if (block.length > MAX_CACHED_BLOCK_BYTES) {
      return this.#interpret(decoder.decode(block));
    }
    if (this.#version !== decoder.version) {
      this.#known.clear();
      this.#recent = [];
      this.#version = decoder.version;
    }
    for (const recent of this.#recent) {
      if (recent.block.length === block.length && recent.block.equals(block)) {
        return recent.meaning;
      }
    }
    return this.#find(block);
  }

  #find(block: Buffer): T {
    const decoder = this.#decoder;
    const key = block.toString('latin1');
    const known = this.#known.get(key);
    if (known !== undefined) {
      if (this.#recent.length === RECENT_BLOCKS) {
        this.#recent.pop();
      }
      // A copy: a small piece must not keep all that was read with it.
      this.#recent.unshift({ block: Buffer.from(block), meaning: known });
      return known;
    }
    const meaning = this.#interpret(decoder.decode(block));
    if (this.#version === decoder.version) {
      if (this.#known.size >= MAX_CACHED_BLOCKS) {
        this.#known.clear();
      }
      this.#known.set(key, meaning);
    }
    return meaning;
  }
}
