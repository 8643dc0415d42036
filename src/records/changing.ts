import type { OperationRecord } from '../broker/model.js';
import type { ChangeResult, RecordChange, RefusedChange } from '../broker/ports.js';
import { EtcdError } from '../etcd/errors.js';
import { decodeId, keys } from './keys.js';
import { BINDING_FIELDS, decode, INSTANCE_FIELDS, type Raw } from './reading.js';
import { ABSENT, encode, newTransaction, planChange, type Transaction } from './transaction-plan.js';

/** What a transaction came to. A refused one tells what is there instead. */
export type Outcome = { committed: true; revision: string } | RefusedTransaction;

export interface RefusedTransaction {
  committed: false;
  /** What the checked keys, the finished operations and the traces hold, by key. */
  found: ReadonlyMap<string, Raw>;
  /** The keys under `siblings`. */
  siblings: readonly string[];
}

/** Carries out transactions. */
export interface Commits {
  /** @throws EtcdError; of the kind `no-space` it may have been applied nevertheless */
  commit(transaction: Transaction): Promise<Outcome>;
  /** Reads what a refused transaction tells of, and writes nothing. */
  look(transaction: Transaction): Promise<RefusedTransaction>;
}

/** Is told of each operation that ended. */
export type OnFinished = (operation: OperationRecord) => void;

/** Changes records. Each change is one transaction on conditions, which may be sent several times. */
export class Changes {
  constructor(
    readonly commits: Commits,
    /** This replica's session. */
    readonly session: { readonly id: string },
    /** Is told of each operation that ended with a change made here. */
    readonly onFinished: OnFinished = () => undefined,
  ) {}

  /** Carries out a change if all that it expects holds. Safe to repeat when the answer was lost. */
  async change(change: RecordChange): Promise<ChangeResult> {
    const transaction = planChange(change, this.session.id);
    for (;;) {
      const outcome = await this.#carryOut(transaction, change);
      if (outcome.committed) {
        for (const operation of change.finished ?? []) {
          this.onFinished(operation);
        }
        return { done: true, revision: outcome.revision };
      }
      const mark = overtakenBy(transaction, outcome);
      if (mark === undefined) {
        return refusal(change, outcome);
      }
      // Only a transaction that has surely not been applied may be sent again with another expectation: what was
      // applied and deleted since must not come back.
      const wasApplied = transaction.traces.some((key) => outcome.found.has(key));
      if (wasApplied || !isAwaited(change)) {
        return { ...refusal(change, outcome), overtaken: true };
      }
      transaction.checks.set(mark.key, mark.revision);
    }
  }

  /** See {@link Records.markGone}. */
  async markGone(instanceId: string, bindingId?: string): Promise<boolean> {
    const mark = keys.gone(instanceId, bindingId);
    const record = bindingId === undefined ? keys.instance(instanceId) : keys.binding(instanceId, bindingId);
    const transaction = newTransaction();
    transaction.checks.set(record, ABSENT);
    transaction.puts.set(mark, { schema: 1 });
    transaction.history.add(mark);
    try {
      return (await this.commits.commit(transaction)).committed;
    } catch (error) {
      if (!isNoSpace(error)) {
        throw error;
      }
      // Without space nothing that is on its way can be made either; but it may have been made before.
      return !(await this.commits.look(transaction)).found.has(record);
    }
  }

  /** Deletes a key if it has not changed since it was read. */
  async drop(key: string, revision: string): Promise<void> {
    const transaction = newTransaction();
    transaction.checks.set(key, revision);
    transaction.deletes.push(key);
    await this.commits.commit(transaction);
  }

  async #carryOut(transaction: Transaction, change: RecordChange): Promise<Outcome> {
    try {
      return recognized(transaction, await this.commits.commit(transaction));
    } catch (error) {
      if (!isNoSpace(error)) {
        throw error;
      }
      const outcome = recognized(transaction, await this.commits.look(transaction));
      if (outcome.committed) {
        return outcome;
      }
      const isDeletion = isRemoval(change);
      if (isDeletion && !stillHolds(transaction, outcome)) {
        return outcome;
      }
      if (!isDeletion || transaction.history.size === 0) {
        throw error;
      }
      // Deleting is what makes room; the history of what is deleted is not worth failing for.
      for (const key of transaction.history) {
        transaction.puts.delete(key);
      }
      transaction.history.clear();
      return this.#carryOut(transaction, change);
    }
  }
}

/**
 * An attempt whose answer was lost may have been this very change. Each change of a record is unlike all others (it
 * names a new operation, or ends one), and so is the end of an operation: equal bytes are its own.
 */
function recognized(transaction: Transaction, outcome: Outcome): Outcome {
  if (outcome.committed) {
    return outcome;
  }
  for (const [key, { bytes, revision }] of outcome.found) {
    const put = transaction.puts.get(key);
    if (put !== undefined && bytes.equals(encode(put)) && !transaction.traces.includes(key)) {
      return { committed: true, revision };
    }
  }
  return outcome;
}

/** Whether all that a transaction expects is still so. */
function stillHolds({ checks }: Transaction, { found }: RefusedTransaction): boolean {
  return [...checks].every(([key, revision]) => (found.get(key)?.revision ?? ABSENT) === revision);
}

/** The mark of a deletion that a creation did not know of when it was sent. */
function overtakenBy(
  { checks }: Transaction,
  { found }: RefusedTransaction,
): { key: string; revision: string } | undefined {
  for (const [key, { revision }] of found) {
    if (key.startsWith(keys.allGone) && checks.get(key) !== revision) {
      return { key, revision };
    }
  }
  return undefined;
}

function refusal({ instance, binding }: RecordChange, outcome: RefusedTransaction): RefusedChange {
  const instanceKey = instance && keys.instance(instance.id);
  const bindingKey = binding && keys.binding(binding.instance_id, binding.binding_id);
  const rawInstance = instanceKey && outcome.found.get(instanceKey);
  const rawBinding = bindingKey && outcome.found.get(bindingKey);
  const siblings = outcome.siblings.map((key) => decodeId(key.slice(key.lastIndexOf('/') + 1)));
  return {
    done: false,
    ...(rawInstance && { instance: decode(rawInstance, INSTANCE_FIELDS) }),
    ...(rawBinding && { binding: decode(rawBinding, BINDING_FIELDS) }),
    ...(siblings.length > 0 && { siblings }),
  };
}

/** Whether the platform still waits for a creation. */
function isAwaited({ until, signal }: RecordChange): boolean {
  return performance.now() < (until ?? 0) && !signal?.aborted;
}

/** Whether a change writes nothing but the history of what it deletes. */
function isRemoval({ instance, binding, opened }: RecordChange): boolean {
  return opened === undefined && !instance?.next && !binding?.next;
}

function isNoSpace(error: unknown): boolean {
  return error instanceof EtcdError && error.kind === 'no-space';
}
