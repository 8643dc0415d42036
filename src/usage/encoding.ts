import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { ROW_LENGTH, type UsageRow } from './row.js';

/** A row and what it is of, such as a deployment or a minute of an hour. */
export type Entry<Name> = readonly [name: Name, row: UsageRow];

const VERSION = 1;
const ID_BYTES = 12;
/** More is not read: it is none that was written here. */
const LONGEST = 4 << 20;

/** What portals write of one minute: a row for each of some deployments. */
export function encodeMinute(entries: readonly Entry<string>[]): Buffer {
  return packed(entries, (deployment, bytes) => bytes.push(...Buffer.from(deployment, 'hex')));
}

/** @param wanted only of these, so that the others cost nothing; all where not given @throws RangeError */
export function decodeMinute(bytes: Buffer, wanted?: (deployment: string) => boolean): Entry<string>[] {
  const input = unpacked(bytes);
  return input.entries(
    () => input.bytes(ID_BYTES).toString('hex'),
    (deployment) => wanted?.(deployment) ?? true,
  );
}

/** Rows of one deployment, each with its number: minutes of an hour, or quarters of an hour of a day. */
export function encodeRows(entries: readonly Entry<number>[]): Buffer {
  return packed(entries, (index, bytes) => pushNumber(bytes, index));
}

/** @throws RangeError */
export function decodeRows(bytes: Buffer): Entry<number>[] {
  const input = unpacked(bytes);
  return input.entries(
    () => input.number(),
    () => true,
  );
}

function packed<Name>(
  entries: readonly Entry<Name>[],
  pushName: (name: Name, bytes: number[]) => void,
): Buffer {
  const bytes: number[] = [];
  // Rows may get longer; who reads takes what it knows.
  pushNumber(bytes, ROW_LENGTH);
  for (const [name, row] of entries) {
    pushName(name, bytes);
    for (const value of row) {
      pushNumber(bytes, value);
    }
  }
  return Buffer.concat([Buffer.from([VERSION]), deflateRawSync(Buffer.from(bytes))]);
}

/** Seven bits a byte, the lowest first; up to 2^53. @throws RangeError for what is no such number */
function pushNumber(bytes: number[], value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${value} is not a count`);
  }
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) + 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
}

function unpacked(bytes: Buffer): Input {
  if (bytes[0] !== VERSION) {
    throw new RangeError(`Figures of the version ${bytes[0]} can't be read`);
  }
  return new Input(inflateRawSync(bytes.subarray(1), { maxOutputLength: LONGEST }));
}

class Input {
  #at = 0;

  constructor(readonly buffer: Buffer) {}

  bytes(length: number): Buffer {
    const found = this.buffer.subarray(this.#at, this.#at + length);
    if (found.length < length) {
      throw new RangeError('Figures end too early');
    }
    this.#at += length;
    return found;
  }

  number(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 0x80) {
      const byte = this.buffer[this.#at];
      if (byte === undefined || factor > 2 ** 49) {
        throw new RangeError('Figures end too early');
      }
      this.#at += 1;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        return value;
      }
    }
  }

  entries<Name>(readName: () => Name, isWanted: (name: Name) => boolean): Entry<Name>[] {
    const length = this.number();
    const found: Entry<Name>[] = [];
    while (this.#at < this.buffer.length) {
      const name = readName();
      if (isWanted(name)) {
        found.push([name, this.#row(length)]);
      } else {
        this.#skip(length);
      }
    }
    return found;
  }

  /** As long as rows are now: one of an earlier release is filled up, and what a later one has more is left out. */
  #row(length: number): UsageRow {
    const row = new Array<number>(ROW_LENGTH).fill(0);
    for (let index = 0; index < length; index += 1) {
      const value = this.number();
      if (index < ROW_LENGTH) {
        row[index] = value;
      }
    }
    return row;
  }

  #skip(count: number): void {
    for (let left = count; left > 0; left -= 1) {
      while ((this.buffer[this.#at] ?? 0) >= 0x80) {
        this.#at += 1;
      }
      this.#at += 1;
    }
  }
}
