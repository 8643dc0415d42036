import protobuf from 'protobufjs/minimal.js';
import { codecOf } from './codec.js';
import { kvMessages } from './kv.js';

/** A key as an answer holds it. Its bytes are parts of the answer's. */
export interface PageKey {
  key: Buffer;
  value: Buffer;
  /** 0 for none. */
  lease: bigint;
}

/** Wire types of Protocol Buffers. */
const [VARINT, BYTES] = [0, 2];
const tagOf = ([number]: readonly [number, ...unknown[]], wireType: number) => (number << 3) | wireType;
const HEADER = tagOf(kvMessages.RangeResponse.header, BYTES);
const KVS = tagOf(kvMessages.RangeResponse.kvs, BYTES);
const MORE = tagOf(kvMessages.RangeResponse.more, VARINT);
const COUNT = tagOf(kvMessages.RangeResponse.count, VARINT);
const KEY = tagOf(kvMessages.KeyValue.key, BYTES);
const VALUE = tagOf(kvMessages.KeyValue.value, BYTES);
const LEASE = tagOf(kvMessages.KeyValue.lease, VARINT);

const headers = codecOf('ResponseHeader');
const nothing = Buffer.alloc(0);

/**
 * An answer to a Range of many keys. They are read while they are looked at, so that thousands of keys cost no more
 * memory than their bytes.
 */
export class RangePage {
  /** The cluster's. A decimal number as text. */
  revision = '0';
  /** How many keys it holds. */
  length = 0;
  more = false;
  /** How many keys are in the range, with those that are not in the answer. */
  count = 0;
  #lastAt: number | undefined;

  /**
   * @param bytes a `RangeResponse`
   * @throws RangeError or Error when they are not
   */
  constructor(readonly bytes: Uint8Array) {
    const reader = protobuf.Reader.create(bytes);
    while (reader.pos < reader.len) {
      const at = reader.pos;
      const tag = reader.uint32();
      switch (tag) {
        case HEADER:
          this.revision = headers.decode(reader.bytes()).revision as string;
          break;
        case KVS:
          reader.skip(reader.uint32());
          this.length += 1;
          this.#lastAt = at;
          break;
        case MORE:
          this.more = reader.bool();
          break;
        case COUNT:
          this.count = Number(reader.int64());
          break;
        default:
          reader.skipType(tag & 7);
      }
    }
  }

  get firstKey(): Buffer | undefined {
    return this.#keyFrom(0);
  }

  get lastKey(): Buffer | undefined {
    return this.#lastAt === undefined ? undefined : this.#keyFrom(this.#lastAt);
  }

  /** In the answer's order. */
  [Symbol.iterator](): Generator<PageKey> {
    return this.#from(0);
  }

  #keyFrom(position: number): Buffer | undefined {
    const [found] = this.#from(position);
    return found?.key;
  }

  *#from(position: number): Generator<PageKey> {
    const reader = protobuf.Reader.create(this.bytes);
    reader.pos = position;
    while (reader.pos < reader.len) {
      const tag = reader.uint32();
      if (tag === KVS) {
        yield readKey(reader);
      } else {
        reader.skipType(tag & 7);
      }
    }
  }
}

function readKey(reader: protobuf.Reader): PageKey {
  const found: PageKey = { key: nothing, value: nothing, lease: 0n };
  const length = reader.uint32();
  const end = reader.pos + length;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case KEY:
        found.key = reader.bytes() as Buffer;
        break;
      case VALUE:
        found.value = reader.bytes() as Buffer;
        break;
      case LEASE:
        found.lease = BigInt(reader.int64().toString());
        break;
      default:
        reader.skipType(tag & 7);
    }
  }
  if (reader.pos !== end) {
    throw new RangeError('A message is cut short');
  }
  return found;
}
