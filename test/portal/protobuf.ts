// Two independent accounts of etcd's messages: an encoder that can write odd things, and protobufjs as the decoder.
import protobuf from 'protobufjs';
import type { FieldDefinition } from '../../src/etcd/messages/definition.js';
import { enums } from '../../src/etcd/messages/enums.js';
import { type MessageName, messages } from '../../src/portal/table/definitions.js';

export type Value = bigint | boolean | string | Uint8Array | Fields | Value[];
export interface Fields {
  [field: string]: Value;
}

export const definitionOf = (name: string): { readonly [field: string]: FieldDefinition } =>
  messages[name as MessageName];

export const isEnum = (type: string): boolean => Object.hasOwn(enums, type);
export const isMessage = (type: string): boolean => Object.hasOwn(messages, type);

/** A varint in its shortest form, of the lower 64 bits. */
export function varint(value: bigint | number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  return Buffer.from([...bytes, Number(rest)]);
}

/** A field of wire type 0. */
export const integer = (number: number, value: bigint | number): Buffer =>
  Buffer.concat([varint(number * 8), varint(value)]);

/** A field of wire type 2. */
export function bytes(number: number, ...content: (Uint8Array | string)[]): Buffer {
  const all = Buffer.concat(content.map((part) => Buffer.from(part)));
  return Buffer.concat([varint(number * 8 + 2), varint(all.length), all]);
}

/** Encodes a message in the order of its object's fields; zero and empty values are written too. */
export function encode(name: string, value: Fields): Buffer {
  const parts: Buffer[] = [];
  for (const [field, content] of Object.entries(value)) {
    const definition = definitionOf(name)[field];
    if (definition === undefined) throw new Error(`${name} has no field ${field}`);
    const [number, type] = definition;
    for (const one of Array.isArray(content) ? content : [content]) {
      if (typeof one === 'bigint' || typeof one === 'boolean') parts.push(integer(number, BigInt(one)));
      else if (typeof one === 'string' || one instanceof Uint8Array) parts.push(bytes(number, one));
      else parts.push(bytes(number, encode(type, one as Fields)));
    }
  }
  return Buffer.concat(parts);
}

function descriptor(): protobuf.INamespace {
  const nested: Record<string, protobuf.AnyNestedObject> = {};
  for (const [name, values] of Object.entries(enums)) nested[name] = { values };
  for (const name of Object.keys(messages)) {
    const fields: Record<string, protobuf.IField> = {};
    const oneofs: Record<string, { oneof: string[] }> = {};
    for (const [field, [id, type, group]] of Object.entries(definitionOf(name))) {
      fields[field] = group === 'repeated' ? { id, type, rule: 'repeated' } : { id, type };
      if (group !== undefined && group !== 'repeated') {
        const members = oneofs[group]?.oneof ?? [];
        members.push(field);
        oneofs[group] = { oneof: members };
      }
    }
    nested[name] = { fields, oneofs };
  }
  return { nested };
}

const root = protobuf.Root.fromJSON(descriptor());

/** Decodes with protobufjs: 64-bit integers as decimal text, bytes as latin1 text, defaults filled in. */
export function decode(name: string, message: Uint8Array): Plain {
  const type = root.lookupType(name);
  const object = type.toObject(type.decode(message), {
    longs: String,
    defaults: true,
    oneofs: true,
    arrays: true,
  });
  return plain(object);
}

export type Plain = string | number | boolean | null | Plain[] | { [field: string]: Plain };

function plain(value: unknown): Plain {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
  return value as string | number | boolean | null;
}
