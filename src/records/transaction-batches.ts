import type { ITxnRequest, ITxnResponse } from 'etcd3';
import { CALL_TIMEOUT_MS, within } from '../etcd/client.js';
import { EtcdError } from '../etcd/errors.js';

/** Sends one transaction, with a deadline as `within` makes it. */
export type SendTransaction = (request: ITxnRequest, options: { deadline: number }) => Promise<ITxnResponse>;

/** A transaction with the keys that it touches; nothing else may be in it. */
export interface KeyedTransaction {
  request: ITxnRequest;
  /** Keys that it puts or deletes if its conditions hold. */
  writes: readonly string[];
  /** Keys that its conditions look at or that it reads. */
  reads: readonly string[];
  /** About how long the request is. */
  bytes: number;
}

interface Waiting {
  transaction: KeyedTransaction;
  /** When the caller's patience ends (see `within`). */
  deadline: number;
  resolve: (response: ITxnResponse) => void;
  reject: (error: unknown) => void;
}

/**
 * etcd's `--max-txn-ops` is 128 by default, for a transaction together with one of those inside it: this leaves
 * room for 64 operations in each.
 */
const MOST_IN_A_BATCH = 64;
/** etcd takes requests of 1.5 MB by default. */
const MOST_BYTES = 512 * 1024;

/**
 * Sends transactions that are asked for at the same time as one, in which each keeps its own conditions and its
 * own outcome.
 *
 * One is under way at a time; what comes meanwhile goes together in the next. So a lone transaction goes out at
 * once, and many cost etcd one entry in its log instead of many. That counts, since etcd refuses every transaction
 * that meets a change of users or roles on its way, and binds are made of both. A lone one is sent as a batch too:
 * before 3.5.30, etcd does not refuse transactions inside a transaction for that.
 *
 * etcd's check for space does not look into transactions inside a transaction either, so while there is none they go
 * one by one, and etcd refuses those that would take some.
 *
 * Two that touch the same key (unless both only read it) never go together: etcd looks at all the conditions
 * before it writes anything, so the second would not see the first.
 */
export class TransactionBatches {
  #waiting: Waiting[] = [];
  #isSending = false;

  /** @param isFull whether etcd has no space left, as far as is known */
  constructor(
    readonly send: SendTransaction,
    readonly isFull: () => boolean = () => false,
  ) {}

  /** @throws EtcdError as a call of its own would */
  commit(transaction: KeyedTransaction): Promise<ITxnResponse> {
    return new Promise((resolve, reject) => {
      const { deadline } = within(CALL_TIMEOUT_MS);
      const timer = setTimeout(() => waiting.reject(timedOut()), CALL_TIMEOUT_MS);
      const waiting: Waiting = {
        transaction,
        deadline,
        resolve: (response) => {
          clearTimeout(timer);
          resolve(response);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      this.#waiting.push(waiting);
      if (!this.#isSending) {
        void this.#sendAll();
      }
    });
  }

  async #sendAll(): Promise<void> {
    this.#isSending = true;
    while (this.#waiting.length > 0) {
      const batch = this.#takeBatch();
      if (batch.length > 0 && this.isFull()) {
        await this.#sendSingly(batch);
      } else if (batch.length > 0) {
        await this.#sendTogether(batch);
      }
    }
    this.#isSending = false;
  }

  /** Those that can go together, the oldest first. Whoever has waited too long was told so by its timer. */
  #takeBatch(): Waiting[] {
    const now = within(0).deadline;
    const batch: Waiting[] = [];
    const left: Waiting[] = [];
    const read = new Set<string>();
    const written = new Set<string>();
    let bytes = 0;
    for (const waiting of this.#waiting) {
      const { transaction, deadline } = waiting;
      if (deadline <= now) {
        continue;
      }
      const { writes, reads } = transaction;
      const meets =
        writes.some((key) => read.has(key) || written.has(key)) || reads.some((key) => written.has(key));
      const isFull = batch.length === MOST_IN_A_BATCH || bytes + transaction.bytes > MOST_BYTES;
      if (batch.length > 0 && (meets || isFull)) {
        left.push(waiting);
        continue;
      }
      batch.push(waiting);
      bytes += transaction.bytes;
      for (const key of writes) {
        written.add(key);
      }
      for (const key of reads) {
        read.add(key);
      }
    }
    this.#waiting = left;
    return batch;
  }

  async #sendTogether(batch: readonly Waiting[]): Promise<void> {
    let response: ITxnResponse;
    try {
      response = await this.send(
        { success: batch.map(({ transaction }) => ({ request_txn: transaction.request })) },
        { deadline: Math.max(...batch.map(({ deadline }) => deadline)) },
      );
    } catch (error) {
      if (error instanceof EtcdError && error.isTransient) {
        for (const { reject } of batch) {
          reject(error);
        }
        return;
      }
      // etcd refuses the whole for what is wrong with one (say, a lease that ran out) and has applied nothing.
      await this.#sendSingly(batch);
      return;
    }
    for (const [index, { resolve }] of batch.entries()) {
      const part = response.responses[index]?.response_txn as ITxnResponse;
      // All of them have one revision, which only the whole names.
      resolve({ ...part, header: response.header });
    }
  }

  async #sendSingly(batch: readonly Waiting[]): Promise<void> {
    await Promise.all(
      batch.map(({ transaction, deadline, resolve, reject }) =>
        this.send(transaction.request, { deadline }).then(resolve, reject),
      ),
    );
  }
}

function timedOut(): EtcdError {
  return new EtcdError('timeout', 'etcd did not answer in time');
}
