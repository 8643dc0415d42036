import { isUtf8 } from 'node:buffer';
import { ANY } from '../table/ops.js';
import { refusals } from './refusal.js';

/** Protocol Buffers' wire types that are in use. */
export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const START_GROUP = 3;
export const END_GROUP = 4;
export const FIXED32 = 5;

const nothing = Buffer.alloc(0);

/**
 * Reads Protocol Buffers strictly: each value has exactly one encoding. Never reads at or beyond the `end` that it is
 * given, which the caller keeps within the buffer. All methods throw one of `refusals`.
 */
export class Reader {
  protected buffer: Buffer = nothing;
  protected position = 0;
  /** The halves of the varint that was read last, as signed 32-bit integers. */
  protected low = 0;
  protected high = 0;

  /** Reads a varint of up to 64 bits in its shortest form into `low` and `high`. */
  protected varint(end: number): void {
    const position = this.position;
    if (position >= end) throw refusals.truncated;
    const first = this.buffer[position] as number;
    if (first < 0x80) {
      this.low = first;
      this.high = 0;
      this.position = position + 1;
      return;
    }
    this.longVarint(first, end);
  }

  private longVarint(first: number, end: number): void {
    let low = first & 0x7f;
    let high = 0;
    let position = this.position + 1;
    for (let shift = 7; ; shift += 7) {
      if (position >= end) throw refusals.truncated;
      const byte = this.buffer[position++] as number;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) {
        if (byte === 0 || (shift === 63 && byte > 1)) throw refusals.overlongVarint;
        break;
      }
      if (shift === 63) throw refusals.overlongVarint;
    }
    this.low = low;
    this.high = high;
    this.position = position;
  }

  /** Reads the tag of a field into `low`; its number is at least 1 (and below 2^29 by its size). */
  protected tag(end: number): number {
    this.varint(end);
    if (this.high !== 0 || this.low >>> 3 === 0) throw refusals.fieldNumber;
    return this.low;
  }

  /** Reads the length of what follows; it ends at or before `end`. */
  protected length(end: number): number {
    this.varint(end);
    const length = this.low >>> 0;
    if (this.high !== 0 || length > end - this.position) throw refusals.length;
    return length;
  }

  protected bool(end: number): void {
    this.varint(end);
    if (this.high !== 0 || this.low >>> 0 > 1) throw refusals.bool;
  }

  /** An enumeration: 32 bits with a sign, which are written as 64. */
  protected enumeration(end: number, highest: number): void {
    this.varint(end);
    if (this.high !== this.low >> 31) throw refusals.enumeration;
    if (highest !== ANY && this.low >>> 0 > highest) throw refusals.unknownValue;
  }

  /** Enumerations in one field (packed), up to `end`. */
  protected packedEnumerations(end: number, highest: number): void {
    while (this.position < end) this.enumeration(end, highest);
  }

  /** `length` bytes at the position, which must be UTF-8 (as Go's proto3 demands). */
  protected text(length: number): void {
    const start = this.position;
    this.position = start + length;
    for (let index = start; index < this.position; index++) {
      if ((this.buffer[index] as number) < 0x80) continue;
      if (!isUtf8(this.buffer.subarray(start, this.position))) throw refusals.utf8;
      return;
    }
  }

  /** Passes over the value of a field that is not known. */
  protected skip(wireType: number, end: number): void {
    switch (wireType) {
      case VARINT:
        this.varint(end);
        return;
      case BYTES: {
        const length = this.length(end);
        this.position += length;
        return;
      }
      case FIXED64:
      case FIXED32: {
        const length = wireType === FIXED64 ? 8 : 4;
        if (length > end - this.position) throw refusals.truncated;
        this.position += length;
        return;
      }
      case START_GROUP:
      case END_GROUP:
        throw refusals.group;
      default:
        throw refusals.wireType;
    }
  }

  /** Lets go of the message. */
  protected release(): void {
    this.buffer = nothing;
  }
}
