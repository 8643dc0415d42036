import { Op } from '../table/ops.js';
import type { MessageRule } from '../table/rules.js';
import { Leak, Refusal, refusals } from './refusal.js';
import type { Scope } from './scope.js';
import { Walker } from './walk.js';
import { BYTES, VARINT } from './wire.js';

class ResponseWalker extends Walker {
  /** The header that is being read has the ids of the cluster and the member. Those within a transaction have none. */
  #hasIdentity = false;

  strip(rule: MessageRule, message: Buffer, scope: Scope): Buffer {
    this.#hasIdentity = false;
    try {
      return this.run(rule, message, scope);
    } catch (error) {
      if (error instanceof Refusal)
        throw new Leak(`etcd's answer can't be read as ${rule.name}: ${error.message}`);
      throw error;
    }
  }

  protected override enter(): void {}

  protected override special(op: Op, rule: MessageRule, tag: number, start: number, end: number): boolean {
    const isBytes = op === Op.Key || op === Op.Keys || op === Op.Name;
    if ((tag & 7) !== (isBytes ? BYTES : VARINT)) throw refusals.wireType;
    if (isBytes) {
      this.key(op, rule, tag, this.length(end));
      return true;
    }
    this.varint(end);
    switch (op) {
      case Op.Identity:
        if (this.scope.identity === undefined) this.plan.copy(start, this.position);
        this.#hasIdentity = true;
        return true;
      case Op.Lease:
        if (this.high === this.scope.leaseTag && this.low !== 0) this.plan.number(tag, this.low);
        return true;
      case Op.OwnLease:
        // 0 in the lower half is the unknown lease that `rewriteRequest` named.
        if (this.high === this.scope.leaseTag) this.plan.number(tag, this.low);
        else if (this.high !== 0 || this.low !== 0) throw new Leak(`A foreign lease in ${rule.name}`);
        return true;
      case Op.ListedLease:
        if (this.high !== this.scope.leaseTag || this.low === 0) this.leaveOut = true;
        else this.plan.number(tag, this.low);
        return true;
      default:
        throw new Error(`No response has a field of kind ${Op[op]}`);
    }
  }

  private key(op: Op, rule: MessageRule, tag: number, length: number): void {
    const { prefix } = this.scope;
    const size = prefix.length;
    const from = this.position;
    // A name may be empty, a key can't.
    if (length < size || (length === size && op !== Op.Name)) throw new Leak(`A foreign key in ${rule.name}`);
    for (let index = 0; index < size; index++)
      if (this.buffer[from + index] !== prefix[index]) throw new Leak(`A foreign key in ${rule.name}`);
    this.position = from + length;
    if (length === size) return;
    this.plan.head(tag, length - size);
    this.plan.copy(from + size, this.position);
  }

  protected override finish(rule: MessageRule, _seen: number, present: number): void {
    const wanted = rule.keyBit | rule.nameBit;
    if ((present & wanted) !== wanted) throw new Leak(`A key is missing in ${rule.name}`);
    if (rule.name === 'LeaseStatus' && present === 0) this.leaveOut = true;
    if (rule.name === 'ResponseHeader') {
      if (this.scope.identity !== undefined && this.#hasIdentity)
        this.plan.identity(this.scope.identity.length);
      this.#hasIdentity = false;
    }
  }
}

const walker = new ResponseWalker();

/**
 * Strips etcd's answer for a tenant: the prefix off every key, leases back to 32 bits, unknown fields left out.
 * @throws Leak when it holds what is not the key space's own, or is no message of etcd's: the stream must end.
 */
export function stripResponse(rule: MessageRule, message: Buffer, scope: Scope): Buffer {
  return walker.strip(rule, message, scope);
}
