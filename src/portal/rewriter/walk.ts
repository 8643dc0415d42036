import { Op } from '../table/ops.js';
import { type MessageRule, SLOTS } from '../table/rules.js';
import { Plan } from './plan.js';
import { refusals } from './refusal.js';
import type { Scope } from './scope.js';
import { BYTES, Reader, VARINT } from './wire.js';

/**
 * The deepest transaction inside another that etcd accepts: each level takes at least one of the 128 operations
 * (`--max-txn-ops`) that the levels below share (etcd's `checkTxnRequest`).
 */
export const MAX_NESTING = 128;

/** Reads a message by its rule, checks it, and plans what it becomes; the two directions fill in the special fields. */
export abstract class Walker extends Reader {
  protected readonly plan = new Plan();
  protected scope!: Scope;
  /** Set by `special`: the message that is being read is to be left out. */
  protected leaveOut = false;

  protected run(rule: MessageRule, message: Buffer, scope: Scope): Buffer {
    this.buffer = message;
    this.position = 0;
    this.scope = scope;
    this.leaveOut = false;
    this.plan.begin(scope);
    try {
      this.walk(rule, message.length, 0);
      return this.plan.write(message);
    } finally {
      this.release();
    }
  }

  /** Reads fields up to `end`. `depth` counts the transactions around this message. */
  protected walk(rule: MessageRule, end: number, depth: number): void {
    let seen = 0;
    let present = 0;
    while (this.position < end) {
      const start = this.position;
      const tag = this.tag(end);
      const number = tag >>> 3;
      const wireType = tag & 7;
      const slot = number < SLOTS ? number : number === 64 ? 0 : SLOTS;
      const op = rule.ops[slot];
      if (op === Op.Drop) {
        this.skip(wireType, end);
        continue;
      }
      const bit = 1 << slot;
      if ((seen & (rule.excludes[slot] as number)) !== 0)
        throw (seen & bit) !== 0 ? refusals.twice : refusals.oneof;
      seen |= bit;
      switch (op) {
        case Op.Integer:
          if (wireType !== VARINT) throw refusals.wireType;
          this.varint(end);
          this.plan.copy(start, this.position);
          break;
        case Op.Bool:
          if (wireType !== VARINT) throw refusals.wireType;
          this.bool(end);
          this.plan.copy(start, this.position);
          break;
        case Op.Enum:
          if (wireType !== VARINT) throw refusals.wireType;
          this.enumeration(end, rule.highest[slot] as number);
          this.plan.copy(start, this.position);
          break;
        case Op.Enums:
          if (wireType === BYTES)
            this.packedEnumerations(this.length(end) + this.position, rule.highest[slot] as number);
          else if (wireType === VARINT) this.enumeration(end, rule.highest[slot] as number);
          else throw refusals.wireType;
          this.plan.copy(start, this.position);
          break;
        case Op.Bytes:
          if (wireType !== BYTES) throw refusals.wireType;
          this.position = this.length(end) + this.position;
          this.plan.copy(start, this.position);
          break;
        case Op.Text:
          if (wireType !== BYTES) throw refusals.wireType;
          this.text(this.length(end));
          this.plan.copy(start, this.position);
          break;
        case Op.Nested:
          if (wireType !== BYTES) throw refusals.wireType;
          this.nested(rule.children[slot] as MessageRule, tag, this.length(end), depth);
          break;
        default:
          if (this.special(op as Op, rule, tag, start, end)) present |= bit;
      }
    }
    this.finish(rule, seen, present);
  }

  private nested(rule: MessageRule, tag: number, length: number, depth: number): void {
    const inner = rule.transaction ? depth + 1 : depth;
    if (inner > MAX_NESTING) throw refusals.tooManyOperations;
    this.enter(rule, inner);
    const mark = this.plan.open(tag);
    this.walk(rule, this.position + length, inner);
    if (this.leaveOut) {
      this.leaveOut = false;
      this.plan.drop(mark);
    } else this.plan.close(mark);
  }

  /** Before a nested message is read. */
  protected abstract enter(rule: MessageRule, depth: number): void;

  /**
   * Reads a field that is not plain. `start` is where its tag stands, the position is behind it.
   * @returns whether the field counts as given: an empty key does not.
   */
  protected abstract special(op: Op, rule: MessageRule, tag: number, start: number, end: number): boolean;

  /** After a message was read. `seen`: the bits of the fields that it had; `present`: of the special ones that count. */
  protected abstract finish(rule: MessageRule, seen: number, present: number): void;
}
