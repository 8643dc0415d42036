import type { Scope } from './scope.js';

/** The steps of a plan. Each is three integers: the step and its two arguments. */
const COPY = 0; // from, to: bytes of the source
const OPEN = 1; // tag, length: the head of a nested message or of bytes
const PREFIXED = 2; // tag, length: the head of a key, and the prefix
const PREFIX_END = 3; // tag: a range end
const SMALLEST_KEY = 4; // tag: the prefix and \0
const LEASE = 5; // tag, id: the id with the scope's tag
const ABOVE_LEASES = 6; // tag: an id above all that carry the scope's tag
const NUMBER = 7; // tag, value: a varint of 32 bits
const IDENTITY = 8; // the scope's fields for a header

const WIDTH = 3;
const KEPT_STEPS = 64 * 1024 * WIDTH;
const SHORT = 32;

export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  return value < 0x10000000 ? 4 : 5;
}

/**
 * What the rewritten message will consist of: pieces of the source and what is put between them. It is filled while
 * the source is read and checked, so only what was checked is written, and its size is known before the one
 * allocation that it takes.
 */
export class Plan {
  /** The size of the rewritten message so far, in bytes. */
  size = 0;
  private steps = new Int32Array(256 * WIDTH);
  private used = 0;
  private copyFrom = 0;
  private copyTo = 0;
  private leaseSize = 0;
  private scope: Scope | undefined;

  begin(scope: Scope): void {
    this.size = 0;
    this.used = 0;
    this.copyFrom = 0;
    this.copyTo = 0;
    this.scope = scope;
    // An id is tag << 32 | 32 bits: 33 bits and up, so 5 bytes of 7 bits hold the lower 35.
    this.leaseSize = 5 + (scope.leaseTag < 8 ? 0 : Math.ceil((32 - Math.clz32(scope.leaseTag) - 3) / 7));
    if (this.steps.length > KEPT_STEPS) this.steps = new Int32Array(256 * WIDTH);
  }

  /** Bytes of the source, unchanged. */
  copy(from: number, to: number): void {
    this.size += to - from;
    if (from === this.copyTo && this.copyFrom < from) {
      this.copyTo = to;
      return;
    }
    this.flush();
    this.copyFrom = from;
    this.copyTo = to;
  }

  /** Begins a nested message. @returns what `close` and `drop` want. */
  open(tag: number): number {
    this.flush();
    const mark = this.used;
    this.push(OPEN, tag, this.size);
    return mark;
  }

  /** Ends the nested message: its length is known now. */
  close(mark: number): void {
    const tag = this.steps[mark + 1] as number;
    const length = this.size - (this.steps[mark + 2] as number);
    this.steps[mark + 2] = length;
    this.size += varintSize(tag) + varintSize(length);
  }

  /** Takes back the nested message that was begun last. */
  drop(mark: number): void {
    this.size = this.steps[mark + 2] as number;
    this.used = mark;
    this.copyFrom = 0;
    this.copyTo = 0;
  }

  /** The head of bytes of that length, which `copy` adds. */
  head(tag: number, length: number): void {
    this.size += varintSize(tag) + varintSize(length);
    this.flush();
    this.push(OPEN, tag, length);
  }

  /** The head of a key with the prefix; `copy` adds the `length` bytes after the prefix. */
  prefixed(tag: number, length: number, prefixLength: number): void {
    const all = prefixLength + length;
    this.size += varintSize(tag) + varintSize(all) + prefixLength;
    this.flush();
    this.push(PREFIXED, tag, all);
  }

  prefixEnd(tag: number, prefixLength: number): void {
    this.size += varintSize(tag) + varintSize(prefixLength) + prefixLength;
    this.flush();
    this.push(PREFIX_END, tag, 0);
  }

  smallestKey(tag: number, prefixLength: number): void {
    const all = prefixLength + 1;
    this.size += varintSize(tag) + varintSize(all) + all;
    this.flush();
    this.push(SMALLEST_KEY, tag, 0);
  }

  /** A lease of the scope: its lower 32 bits. */
  lease(tag: number, id: number): void {
    this.size += varintSize(tag) + this.leaseSize;
    this.flush();
    this.push(LEASE, tag, id);
  }

  /** An id that is greater than that of each lease of the scope. */
  aboveLeases(tag: number): void {
    // 2^k - 1 plus one can need a byte more.
    const next = (this.scope?.leaseTag ?? 0) + 1;
    this.size += varintSize(tag) + 5 + (next < 8 ? 0 : Math.ceil((32 - Math.clz32(next) - 3) / 7));
    this.flush();
    this.push(ABOVE_LEASES, tag, 0);
  }

  /** A varint of 32 bits. */
  number(tag: number, value: number): void {
    this.size += varintSize(tag) + varintSize(value >>> 0);
    this.flush();
    this.push(NUMBER, tag, value);
  }

  identity(length: number): void {
    this.size += length;
    this.flush();
    this.push(IDENTITY, 0, 0);
  }

  private flush(): void {
    if (this.copyFrom < this.copyTo) this.push(COPY, this.copyFrom, this.copyTo);
    this.copyFrom = 0;
    this.copyTo = 0;
  }

  private push(step: number, first: number, second: number): void {
    const used = this.used;
    if (used + WIDTH > this.steps.length) {
      const larger = new Int32Array(this.steps.length * 2);
      larger.set(this.steps);
      this.steps = larger;
    }
    this.steps[used] = step;
    this.steps[used + 1] = first;
    this.steps[used + 2] = second;
    this.used = used + WIDTH;
  }

  /** Writes the message that was planned. */
  write(source: Buffer): Buffer {
    this.flush();
    const scope = this.scope;
    if (scope === undefined) throw new Error('A plan is written after it was begun');
    const { prefix, prefixEnd, leaseTag } = scope;
    const out = Buffer.allocUnsafe(this.size);
    const steps = this.steps;
    const used = this.used;
    let at = 0;
    for (let index = 0; index < used; index += WIDTH) {
      const first = steps[index + 1] as number;
      const second = steps[index + 2] as number;
      switch (steps[index]) {
        case COPY:
          at = copyBytes(source, first, second, out, at);
          break;
        case OPEN:
          at = writeVarint(out, second, writeVarint(out, first, at));
          break;
        case PREFIXED:
          at = writeVarint(out, second, writeVarint(out, first, at));
          at = copyBytes(prefix, 0, prefix.length, out, at);
          break;
        case PREFIX_END:
          at = writeVarint(out, prefixEnd.length, writeVarint(out, first, at));
          at = copyBytes(prefixEnd, 0, prefixEnd.length, out, at);
          break;
        case SMALLEST_KEY:
          at = writeVarint(out, prefix.length + 1, writeVarint(out, first, at));
          at = copyBytes(prefix, 0, prefix.length, out, at);
          out[at++] = 0;
          break;
        case LEASE:
          at = writeLease(out, leaseTag, second, writeVarint(out, first, at));
          break;
        case ABOVE_LEASES:
          at = writeLease(out, leaseTag + 1, 0, writeVarint(out, first, at));
          break;
        case NUMBER:
          at = writeVarint(out, second, writeVarint(out, first, at));
          break;
        case IDENTITY:
          if (scope.identity !== undefined) at = copyBytes(scope.identity, 0, scope.identity.length, out, at);
          break;
      }
    }
    // The sizes that were added up and the bytes that were written are two accounts of the same thing.
    if (at !== this.size) throw new Error(`A rewritten message has ${at} bytes instead of ${this.size}`);
    return out;
  }
}

function copyBytes(from: Buffer, start: number, end: number, to: Buffer, at: number): number {
  const length = end - start;
  if (length > SHORT) from.copy(to, at, start, end);
  else for (let index = 0; index < length; index++) to[at + index] = from[start + index] as number;
  return at + length;
}

function writeVarint(out: Buffer, value: number, at: number): number {
  let rest = value >>> 0;
  while (rest > 0x7f) {
    out[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[at++] = rest;
  return at;
}

/** Writes `tag << 32 | id` as a varint; the tag is above 0. */
function writeLease(out: Buffer, tag: number, id: number, at: number): number {
  out[at] = (id & 0x7f) | 0x80;
  out[at + 1] = ((id >>> 7) & 0x7f) | 0x80;
  out[at + 2] = ((id >>> 14) & 0x7f) | 0x80;
  out[at + 3] = ((id >>> 21) & 0x7f) | 0x80;
  const fifth = (id >>> 28) | ((tag & 7) << 4);
  const rest = tag >>> 3;
  if (rest === 0) {
    out[at + 4] = fifth;
    return at + 5;
  }
  out[at + 4] = fifth | 0x80;
  return writeVarint(out, rest, at + 5);
}
