import { codecOf, type Message } from '../../etcd/messages/codec.js';
import type { MessageDefinitions } from '../../etcd/messages/definition.js';
import { enums } from '../../etcd/messages/enums.js';
import { messages } from '../table/definitions.js';

type Json = { [name: string]: unknown };

interface Type {
  write(value: never): unknown;
  /** What is left out, as it would be written. */
  readonly empty: unknown;
}

/** The codec names a value `NotEqual`, the protocol `NOT_EQUAL`. */
function enumeration(values: { readonly [name: string]: number }): Type {
  const names = new Map<unknown, string>();
  let empty: string | undefined;
  for (const [name, value] of Object.entries(values)) {
    const words = name.split('_').map((word) => `${word[0]}${word.slice(1).toLowerCase()}`);
    names.set(words.join(''), name);
    empty = value === 0 ? name : empty;
  }
  return { write: (value: unknown) => names.get(value) ?? value, empty };
}

const as = (empty: unknown): Type => ({ write: (value) => value, empty });

const SCALARS: { readonly [type: string]: Type } = {
  bool: as(false),
  string: as(''),
  uint32: as(0),
  int64: as('0'),
  uint64: as('0'),
  bytes: { write: (value: Buffer) => value.toString('base64'), empty: '' },
  ...Object.fromEntries(Object.entries(enums).map(([name, values]) => [name, enumeration(values)])),
};

const definitions = messages as MessageDefinitions;

/**
 * A message in proto3's JSON, as etcd's gateway writes it: the protocol's names, 64-bit integers as strings, bytes as
 * base64, enumerations by name, nothing that has its default value; without spaces, as etcd 3.4 and 3.5 write it.
 * @param name of the message, e.g. `RangeResponse`
 */
export function jsonOf(name: string, message: Uint8Array): string {
  return JSON.stringify(messageJson(name, codecOf(name).decode(message)));
}

function messageJson(name: string, message: Message): Json {
  const json: Json = {};
  for (const [field, [, type, group]] of Object.entries(definitions[name] ?? {})) {
    const value = message[field];
    if (value === undefined || value === null) {
      continue;
    }
    if (group === 'repeated') {
      const items = value as unknown[];
      if (items.length > 0) {
        json[field] = items.map((item) => valueJson(type, item));
      }
      continue;
    }
    const written = valueJson(type, value);
    // What belongs to a oneof is there because it was set.
    if (group !== undefined || written !== SCALARS[type]?.empty) {
      json[field] = written;
    }
  }
  return json;
}

function valueJson(type: string, value: unknown): unknown {
  const scalar = SCALARS[type];
  return scalar === undefined ? messageJson(type, value as Message) : scalar.write(value as never);
}
