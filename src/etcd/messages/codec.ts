import protobuf from 'protobufjs/minimal.js';
import { authMessages } from './auth.js';
import { clusterMessages } from './cluster.js';
import type { FieldDefinition, MessageDefinitions } from './definition.js';
import { electionMessages } from './election.js';
import { enums } from './enums.js';
import { kvMessages } from './kv.js';
import { leaseMessages } from './lease.js';
import { lockMessages } from './lock.js';
import { maintenanceMessages } from './maintenance.js';
import { watchMessages } from './watch.js';

/**
 * A message as etcd3's typed clients have it: fields by the names of the protocol, 64-bit integers as decimal strings,
 * enumerations by etcd3's names (`Readwrite`, `NotEqual`), bytes as `Buffer`. What is decoded holds every field that
 * belongs to no oneof (`null` for a message that is absent), and for a oneof its name with the name of the field that
 * is set.
 */
export interface Message {
  [field: string]: unknown;
}

/** Turns messages of one kind into bytes and back. Integers and enumerations may also be given as numbers. */
export interface Codec {
  encode(message: object): Uint8Array;
  /** @throws RangeError or Error when the bytes are not such a message */
  decode(bytes: Uint8Array): Message;
}

type Writer = protobuf.Writer;
type Reader = protobuf.Reader;

interface Scalar {
  wireType: 0 | 2;
  write(writer: Writer, value: never): void;
  read(reader: Reader): unknown;
  empty(): unknown;
}

interface Field {
  name: string;
  tag: number;
  type: Scalar | MessageCodec;
  isRepeated: boolean;
  oneof: string | undefined;
}

/** Decimal strings up to this length are surely safe integers. */
const SAFE_DIGITS = 15;

const SCALARS: { readonly [type: string]: Scalar } = {
  bool: {
    wireType: 0,
    write: (writer, value) => writer.bool(value),
    read: (reader) => reader.bool(),
    empty: () => false,
  },
  uint32: {
    wireType: 0,
    write: (writer, value) => writer.uint32(value),
    read: (reader) => reader.uint32(),
    empty: () => 0,
  },
  int64: {
    wireType: 0,
    write: (writer, value) => writer.int64(toLong(value)),
    read: (reader) => fromLong(reader.int64()),
    empty: () => '0',
  },
  uint64: {
    wireType: 0,
    write: (writer, value) => writer.uint64(toLong(value)),
    read: (reader) => fromLong(reader.uint64()),
    empty: () => '0',
  },
  string: {
    wireType: 2,
    write: (writer, value) => writer.string(value),
    read: (reader) => reader.string(),
    empty: () => '',
  },
  bytes: {
    wireType: 2,
    write: (writer, value) => writer.bytes(value),
    read: (reader) => reader.bytes(),
    empty: () => EMPTY,
  },
};

const EMPTY = Buffer.alloc(0);

function toLong(value: number | string): number | string {
  return typeof value === 'string' && value.length <= SAFE_DIGITS ? Number(value) : value;
}

/** protobufjs gives objects of the package `long`, whose own way to text is slow for small numbers. */
function fromLong(value: number | { low: number; high: number; toString(): string }): string {
  return typeof value === 'object' && value.high === 0 ? String(value.low >>> 0) : value.toString();
}

/** An enumeration by etcd3's names: `NOT_EQUAL` is `NotEqual`. A number without a name stays one. */
function enumeration(values: { readonly [name: string]: number }): Scalar {
  const numbers = new Map<unknown, number>();
  const names: string[] = [];
  for (const [name, value] of Object.entries(values)) {
    const words = name.split('_').map((word) => `${word[0]}${word.slice(1).toLowerCase()}`);
    names[value] = words.join('');
    numbers.set(names[value], value);
  }
  return {
    wireType: 0,
    write: (writer, value) => writer.int32(numbers.get(value) ?? value),
    read: (reader) => {
      const value = reader.int32();
      return names[value] ?? value;
    },
    empty: () => names[0],
  };
}

class MessageCodec implements Codec {
  readonly wireType = 2;
  readonly #byName = new Map<string, Field>();
  readonly #byNumber: Field[] = [];
  /** The fields that stay as they are when nothing is read for them, and those that need an array each. */
  readonly #empty: Message = {};
  #repeated: readonly string[] = [];

  /** Not in the constructor, since messages may hold one another. */
  define(fields: readonly (Field & { number: number })[]): void {
    for (const field of fields) {
      this.#byName.set(field.name, field);
      this.#byNumber[field.number] = field;
      if (field.oneof === undefined) {
        this.#empty[field.name] = field.type instanceof MessageCodec ? null : field.type.empty();
      }
    }
    this.#repeated = fields.filter(({ isRepeated }) => isRepeated).map(({ name }) => name);
  }

  encode(message: object): Uint8Array {
    return this.write(protobuf.Writer.create(), message as Message).finish();
  }

  decode(bytes: Uint8Array): Message {
    return this.read(protobuf.Reader.create(bytes), bytes.length);
  }

  write(writer: Writer, message: Message): Writer {
    // A request sets few of its fields, so these are looked up rather than all fields in it.
    for (const name in message) {
      const field = this.#byName.get(name);
      const value = message[name];
      if (field === undefined || value === undefined || value === null) {
        continue;
      }
      if (field.isRepeated) {
        for (const item of value as unknown[]) {
          writeField(writer, field, item);
        }
      } else {
        writeField(writer, field, value);
      }
    }
    return writer;
  }

  read(reader: Reader, end: number): Message {
    const message = { ...this.#empty };
    for (const name of this.#repeated) {
      message[name] = [];
    }
    while (reader.pos < end) {
      const tag = reader.uint32();
      const field = this.#byNumber[tag >>> 3];
      if (field === undefined) {
        reader.skipType(tag & 7);
      } else if (field.isRepeated) {
        readItems(reader, field, tag & 7, message[field.name] as unknown[]);
      } else if ((tag & 7) !== field.type.wireType) {
        throw new RangeError(`The field ${field.name} has another type on the wire`);
      } else {
        message[field.name] = readValue(reader, field.type);
        if (field.oneof !== undefined) {
          message[field.oneof] = field.name;
        }
      }
    }
    if (reader.pos !== end) {
      throw new RangeError('A message is cut short');
    }
    return message;
  }
}

function writeField(writer: Writer, { tag, type }: Field, value: unknown): void {
  writer.uint32(tag);
  if (type instanceof MessageCodec) {
    type.write(writer.fork(), value as Message).ldelim();
  } else {
    type.write(writer, value as never);
  }
}

function readValue(reader: Reader, type: Scalar | MessageCodec): unknown {
  if (type instanceof MessageCodec) {
    const length = reader.uint32();
    const end = reader.pos + length;
    if (end > reader.len) {
      throw new RangeError('A message is cut short');
    }
    return type.read(reader, end);
  }
  return type.read(reader);
}

/** Numbers may come one by one or packed into one field (Protocol Buffers, "Encoding", "Packed"). */
function readItems(reader: Reader, { type }: Field, wireType: number, items: unknown[]): void {
  if (wireType === type.wireType) {
    items.push(readValue(reader, type));
    return;
  }
  if (type.wireType !== 0 || wireType !== 2) {
    throw new RangeError('A repeated field has another type on the wire');
  }
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) {
    items.push(readValue(reader, type));
  }
}

const messages: MessageDefinitions = {
  ...kvMessages,
  ...watchMessages,
  ...leaseMessages,
  ...clusterMessages,
  ...maintenanceMessages,
  ...authMessages,
  ...lockMessages,
  ...electionMessages,
};

function buildCodecs(): ReadonlyMap<string, MessageCodec> {
  const types = new Map<string, Scalar | MessageCodec>(Object.entries(SCALARS));
  for (const [name, values] of Object.entries(enums)) {
    types.set(name, enumeration(values));
  }
  const codecs = new Map(Object.keys(messages).map((name) => [name, new MessageCodec()]));
  const field = ([name, [number, typeName, group]]: [string, FieldDefinition]) => {
    const type = codecs.get(typeName) ?? types.get(typeName);
    if (type === undefined) {
      throw new Error(`The field ${name} has an unknown type ${typeName}`);
    }
    const isRepeated = group === 'repeated';
    const tag = ((number << 3) | type.wireType) >>> 0;
    return { name, number, tag, type, isRepeated, oneof: isRepeated ? undefined : group };
  };
  for (const [name, codec] of codecs) {
    codec.define(Object.entries(messages[name] ?? {}).map(field));
  }
  return codecs;
}

const codecs = buildCodecs();

/** The codec of a message. @param name as in etcd's protocol, e.g. `RangeRequest` */
export function codecOf(name: string): Codec {
  const codec = codecs.get(name);
  if (codec === undefined) {
    throw new Error(`etcd has no message ${name}`);
  }
  return codec;
}
