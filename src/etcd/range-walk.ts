import { type KeyRange, keyAfter, prefixEnd } from './ranges.js';

/** A request for more than so many times its limit of keys is too wide. */
const TOO_WIDE = 8;
/** Up to so many keys etcd counts in about a millisecond, whatever the limit. */
const FEW_KEYS = 5_000;
/** One that finds less than this part of what is too wide is too narrow. It is less than one of a byte's 256 values. */
const TOO_NARROW = 1 / 264;

/** What came for {@link RangeWalk.next}. */
export interface WalkedPage {
  /** Its first and last key; undefined when there are none. */
  first: Uint8Array | undefined;
  last: Uint8Array | undefined;
  more: boolean;
  /** How many keys there are in what was asked for. */
  count: number;
  /** So many were to be in the answer. */
  limit: number;
}

/**
 * Walks through a range a page at a time. Whatever the limit, etcd counts all keys up to the end that it is given, and
 * nobody can write meanwhile; so it is given a near one: that of the keys whose first bytes are the same as those of
 * the key to begin with. How many bytes follows from what came before.
 */
export class RangeWalk {
  #key: Buffer;
  /** So many first bytes are the same; 0 for the whole rest of the range. */
  #shared = 0;
  /** Since the last page that was wide enough, so many bytes were given up. */
  #givenUp = 0;
  #isDone = false;

  /**
   * @param range with an end
   * @param fewKeys so many keys in a request are never too many
   */
  constructor(
    readonly range: KeyRange,
    readonly fewKeys = FEW_KEYS,
  ) {
    this.#key = range.key;
  }

  /** What to ask for; undefined at the end. */
  get next(): KeyRange | undefined {
    return this.#isDone ? undefined : { key: this.#key, range_end: this.#end };
  }

  /** To be told what came for {@link next}. */
  read({ first, last, more, count, limit }: WalkedPage): void {
    const tooWide = Math.max(limit * TOO_WIDE, this.fewKeys);
    if (more && first !== undefined && last !== undefined) {
      this.#key = keyAfter(last);
      this.#givenUp = 0;
      if (count > tooWide) {
        this.#shared = Math.min(Math.max(this.#shared + 1, sameBytes(first, last)), last.length);
      }
      return;
    }
    const end = this.#end;
    this.#isDone = end.equals(this.range.range_end);
    this.#key = end;
    this.#shared = Math.min(this.#shared, end.length);
    if (count >= tooWide * TOO_NARROW) {
      this.#givenUp = 0;
      return;
    }
    // Twice as many each time, since keys may have thousands.
    const step = Math.max(1, this.#givenUp);
    this.#shared = Math.max(0, this.#shared - step);
    this.#givenUp += step;
  }

  /** Leaves out what is before a key. */
  skipTo(key: Buffer): void {
    if (key.compare(this.#key) > 0) {
      this.#key = key;
      this.#isDone ||= !isToTheEnd(this.range.range_end) && key.compare(this.range.range_end) >= 0;
    }
  }

  get #end(): Buffer {
    const { range_end } = this.range;
    const end = prefixEnd(this.#key.subarray(0, this.#shared));
    // `\0` is "to the end".
    return isToTheEnd(end) || (!isToTheEnd(range_end) && Buffer.compare(end, range_end) > 0)
      ? range_end
      : end;
  }
}

function sameBytes(one: Uint8Array, other: Uint8Array): number {
  const length = Math.min(one.length, other.length);
  for (let at = 0; at < length; at += 1) {
    if (one[at] !== other[at]) {
      return at;
    }
  }
  return length;
}

function isToTheEnd(end: Uint8Array): boolean {
  return end.length === 1 && end[0] === 0;
}
