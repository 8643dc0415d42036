import {
  CompareResult,
  CompareTarget,
  type ICompare,
  type IRangeRequest,
  type IRequestOp,
  type ITxnRequest,
  type ITxnResponse,
  SortOrder,
  SortTarget,
} from 'etcd3/lib/rpc.js';
import type { EtcdClient } from '../etcd/client.js';
import { EtcdError } from '../etcd/errors.js';
import { prefixEnd, rangeOfPrefix } from '../etcd/ranges.js';
import type { Commits, Outcome, RefusedTransaction } from './changing.js';
import type { HistoryLease } from './history-lease.js';
import { keys } from './keys.js';
import { type Raw, rawOf } from './reading.js';
import { ABSENT, encode, type Transaction } from './transaction-plan.js';

/** So many bindings of one application are looked at, the newest first. */
const MOST_SIBLINGS = 50;

/** Carries out transactions in etcd. */
export class EtcdCommits implements Commits {
  constructor(
    readonly connection: EtcdClient,
    readonly historyLease: HistoryLease,
  ) {}

  async commit(transaction: Transaction): Promise<Outcome> {
    if (transaction.history.size === 0) {
      return this.#commit(transaction, undefined);
    }
    try {
      return await this.#commit(transaction, await this.historyLease.current());
    } catch (error) {
      // Somebody revoked the lease, or the cluster was restored from a backup that did not have it.
      if (!(error instanceof EtcdError && error.kind === 'not-found')) {
        throw error;
      }
      this.historyLease.forget();
      return this.#commit(transaction, await this.historyLease.current());
    }
  }

  async look(transaction: Transaction): Promise<RefusedTransaction> {
    return refused(await this.connection.kv.txn({ success: readsOf(transaction) }));
  }

  async #commit(transaction: Transaction, history: string | undefined): Promise<Outcome> {
    const response = await this.connection.kv.txn(toRequest(transaction, history));
    return response.succeeded ? { committed: true, revision: response.header.revision } : refused(response);
  }
}

/** The transaction as etcd takes it. @param history the lease of what is to vanish after a day */
function toRequest(transaction: Transaction, history: string | undefined): ITxnRequest {
  const compare = [...transaction.checks].map(([key, revision]): ICompare => {
    const mod = { key: Buffer.from(key), target: CompareTarget.Mod, result: CompareResult.Equal };
    return { ...mod, mod_revision: revision };
  });
  if (transaction.present !== undefined) {
    const exists = { target: CompareTarget.Version, result: CompareResult.Greater, version: 0 };
    compare.push({ key: Buffer.from(transaction.present), ...exists });
  }
  for (const prefix of transaction.empty) {
    const range = { key: Buffer.from(prefix), range_end: prefixEnd(prefix) };
    const isAbsent = { target: CompareTarget.Create, result: CompareResult.Equal, create_revision: ABSENT };
    compare.push({ ...range, ...isAbsent });
  }
  const puts = [...transaction.puts].map(([key, value]): IRequestOp => {
    const lease = history !== undefined && transaction.history.has(key) ? { lease: history } : {};
    return { request_put: { key: Buffer.from(key), value: encode(value), ...lease } };
  });
  const deletes = [
    ...transaction.deletes.map((key) => ({ key: Buffer.from(key) })),
    ...transaction.deletedPrefixes.map((prefix) => ({
      key: Buffer.from(prefix),
      range_end: prefixEnd(prefix),
    })),
  ];
  return {
    compare,
    success: [...puts, ...deletes.map((request_delete_range) => ({ request_delete_range }))],
    failure: readsOf(transaction),
  };
}

/** What is read when nothing is written. */
function readsOf({ checks, puts, traces, siblings }: Transaction): IRequestOp[] {
  const finished = [...puts.keys()].filter((key) => key.startsWith(keys.operations));
  const ranges: IRangeRequest[] = [...new Set([...checks.keys(), ...finished, ...traces])].map((key) => ({
    key: Buffer.from(key),
  }));
  if (siblings !== undefined) {
    ranges.push({
      ...rangeOfPrefix(siblings),
      keys_only: true,
      limit: MOST_SIBLINGS,
      sort_target: SortTarget.Create,
      sort_order: SortOrder.Descend,
    });
  }
  return ranges.map((request_range) => ({ request_range }));
}

function refused({ responses }: ITxnResponse): RefusedTransaction {
  const found = new Map<string, Raw>();
  const siblings: string[] = [];
  for (const kv of responses.flatMap(({ response_range }) => response_range.kvs)) {
    const raw = rawOf(kv);
    if (raw.key.startsWith(keys.applications)) {
      siblings.push(raw.key);
    } else {
      found.set(raw.key, raw);
    }
  }
  return { committed: false, found, siblings };
}
