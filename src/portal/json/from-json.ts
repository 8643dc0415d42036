import { codecOf } from '../../etcd/messages/codec.js';
import type { FieldDefinition, MessageDefinitions } from '../../etcd/messages/definition.js';
import { enums } from '../../etcd/messages/enums.js';
import { messages } from '../table/definitions.js';
import { JsonError, LONG_INTEGER } from './values.js';

type Json = { readonly [name: string]: unknown };
type Read = (value: unknown) => unknown;

interface Field {
  readonly name: string;
  /** The name in camel case, which the gateway takes too. */
  readonly jsonName: string;
  readonly type: string;
  readonly isRepeated: boolean;
  readonly oneof: string | undefined;
}

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const INTEGER = /^-?\d+$/;
const BASE64 = /^[A-Za-z0-9+/]*$/;
const WRONG = Symbol('wrong');

/** Numbers and strings of numbers; also such as 1.0 and 1e2, which etcd takes from 3.6 on. */
function integer(min: bigint, max: bigint): Read {
  return (value) => {
    if (typeof value !== 'number' && typeof value !== 'string') {
      return WRONG;
    }
    const text = typeof value === 'string' && value.startsWith(LONG_INTEGER) ? value.slice(1) : String(value);
    if (text.length > 400 || !NUMBER.test(text)) {
      return WRONG;
    }
    if (!INTEGER.test(text) && !Number.isSafeInteger(Number(text))) {
      return WRONG;
    }
    const exact = BigInt(INTEGER.test(text) ? text : Number(text));
    return exact < min || exact > max ? WRONG : String(exact);
  };
}

/** Standard base64, and without padding and in the alphabet for URLs, which etcd takes from 3.6 on. */
function bytes(value: unknown): unknown {
  if (typeof value !== 'string') {
    return WRONG;
  }
  const text = value
    .replace(/[\r\n]+/g, '')
    .replace(/-/g, '+')
    .replace(/_/g, '/');
  const digits = text.replace(/={1,2}$/, '');
  const isPadded = digits.length < text.length;
  if ((isPadded && text.length % 4 !== 0) || digits.length % 4 === 1 || !BASE64.test(digits)) {
    return WRONG;
  }
  return Buffer.from(digits, 'base64');
}

const int32 = integer(-(2n ** 31n), 2n ** 31n - 1n);

function enumeration(values: { readonly [name: string]: number }): Read {
  return (value) => {
    if (typeof value === 'string' && !value.startsWith(LONG_INTEGER)) {
      return Object.hasOwn(values, value) ? values[value] : WRONG;
    }
    const number = int32(value);
    return number === WRONG ? WRONG : Number(number);
  };
}

const SCALARS: { readonly [type: string]: Read } = {
  bool: (value) => (typeof value === 'boolean' ? value : WRONG),
  string: (value) => (typeof value === 'string' && !value.startsWith(LONG_INTEGER) ? value : WRONG),
  int64: integer(-(2n ** 63n), 2n ** 63n - 1n),
  uint64: integer(0n, 2n ** 64n - 1n),
  uint32: integer(0n, 2n ** 32n - 1n),
  bytes,
  ...Object.fromEntries(Object.entries(enums).map(([name, values]) => [name, enumeration(values)])),
};

const fieldsOf: ReadonlyMap<string, readonly Field[]> = new Map(
  Object.entries(messages as MessageDefinitions).map(([name, fields]) => [
    name,
    Object.entries(fields).map(([field, [, type, group]]: [string, FieldDefinition]) => ({
      name: field,
      jsonName: field.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
      type,
      isRepeated: group === 'repeated',
      oneof: group === 'repeated' ? undefined : group,
    })),
  ]),
);

/**
 * The bytes of a message that is given in proto3's JSON, as etcd's gateway reads it (jsonpb of golang/protobuf): fields
 * by either name, unknown ones ignored, `null` as absent.
 * @param name of the message, e.g. `RangeRequest`
 * @throws JsonError
 */
export function messageOf(name: string, json: unknown): Buffer {
  return Buffer.from(codecOf(name).encode(json === null ? {} : readMessage(name, json, name)));
}

function readMessage(name: string, json: unknown, path: string): object {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw invalid(path);
  }
  const message: { [field: string]: unknown } = {};
  const oneofs = new Set<string>();
  for (const field of fieldsOf.get(name) ?? []) {
    const value = memberOf(json as Json, field);
    if (value === undefined) {
      continue;
    }
    const at = `${path}.${field.name}`;
    if (field.oneof !== undefined) {
      if (oneofs.has(field.oneof)) {
        throw new JsonError(`two members of ${path}.${field.oneof} are given`);
      }
      oneofs.add(field.oneof);
    }
    if (!field.isRepeated) {
      message[field.name] = readValue(field.type, value, at);
    } else if (Array.isArray(value)) {
      message[field.name] = value.map((item) => readValue(field.type, item, at));
    } else {
      throw invalid(at);
    }
  }
  return message;
}

function memberOf(json: Json, { name, jsonName }: Field): unknown {
  const key = Object.hasOwn(json, jsonName) ? jsonName : name;
  return Object.hasOwn(json, key) ? (json[key] ?? undefined) : undefined;
}

function readValue(type: string, value: unknown, path: string): unknown {
  const read = SCALARS[type];
  if (read === undefined) {
    return readMessage(type, value, path);
  }
  const result = read(value);
  if (result === WRONG) {
    throw invalid(path);
  }
  return result;
}

function invalid(path: string): JsonError {
  return new JsonError(`invalid value for ${path.slice(path.indexOf('.') + 1)}`);
}
