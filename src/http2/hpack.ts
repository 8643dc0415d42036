import { STATIC_TABLE } from './static-table.js';

/**
 * What we write as HPACK (RFC 7541): indexes of the static table and literals, never an entry of a dynamic table. So
 * a block that was encoded once may be sent on every connection, any number of times.
 */
export type HeaderField = readonly [name: string, value: string];

/**
 * What begins the first block that we send: the size of our table is 0, whatever the peer allows now or later
 * (RFC 7541, section 4.2).
 */
export const TABLE_SIZE_ZERO = Buffer.from([0x20]);

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
