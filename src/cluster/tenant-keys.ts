import type { ICompare, IRangeRequest, IRangeResponse } from 'etcd3';
import { Overtaken } from '../broker/restore-errors.js';
import { deploymentPrefix } from '../broker/tenant-prefix.js';
import type { EtcdClient } from '../etcd/client.js';
import { type KeyRange, keyAfter, rangeOfPrefix } from '../etcd/ranges.js';

/** So many keys at the most are deleted by one call, which takes etcd about 100 ms; others' calls go between. */
const PORTION = 20_000;
/**
 * So many keys at the most are read by one call. Whatever the limit, etcd counts all that is left of the range, which
 * takes it half a second for a million keys: so a page is as large as the broker's memory and event loop allow.
 */
const PAGE = 50_000;
/** The first page is small, since nothing is known yet of how long a tenant's keys are. */
const FIRST_PAGE = 100;
/** The keys of a page are to take about this much memory at the most. */
const PAGE_BYTES = 4 << 20;

/** Tenants' keys, as far as the broker itself has to do with them. */
export class TenantKeys {
  constructor(readonly connection: EtcdClient) {}

  /** How many keys a deployment has. */
  async count(deploymentId: string): Promise<number> {
    const { count } = await this.#read(
      { ...rangeOfPrefix(deploymentPrefix(deploymentId)), count_only: true },
      deploymentId,
    );
    return Number(count);
  }

  /**
   * Deletes all keys of a deployment, in portions, so that a million of them hold up neither etcd nor a deadline.
   * @param before called before each portion; throws to stop there
   * @param guard each portion finds this to be so, or is not deleted
   * @throws Overtaken when the guard does not hold
   */
  async deleteAll(deploymentId: string, before: () => void, guard: readonly ICompare[] = []): Promise<void> {
    const range = rangeOfPrefix(deploymentPrefix(deploymentId));
    let limit = FIRST_PAGE;
    for (;;) {
      before();
      const { kvs, more } = await this.#read({ ...range, keys_only: true, limit }, deploymentId);
      if (kvs.length === 0) {
        return;
      }
      for (let index = PORTION; index - PORTION < kvs.length; index += PORTION) {
        before();
        const end = kvs[index]?.key ?? (more ? keyAfter(kvs.at(-1)?.key as Buffer) : range.range_end);
        await this.#delete({ key: range.key, range_end: end }, guard);
        range.key = end;
      }
      if (!more) {
        return;
      }
      const bytes = kvs.reduce((sum, kv) => sum + kv.key.length, 0);
      limit = Math.max(1, Math.min(PAGE, Math.floor(PAGE_BYTES / (bytes / kvs.length))));
    }
  }

  async #delete(request_delete_range: KeyRange, guard: readonly ICompare[]): Promise<void> {
    if (guard.length === 0) {
      await this.connection.kv.deleteRange(request_delete_range);
      return;
    }
    const { succeeded } = await this.connection.kv.txn({
      compare: [...guard],
      success: [{ request_delete_range }],
      failure: [],
    });
    if (!succeeded) {
      throw new Overtaken('The keys are no more to be deleted.');
    }
  }

  /**
   * Reads a range that may be large.
   *
   * etcd does the work of a plain read first and then refuses it with "revision of auth store is old" if a user or
   * role has changed meanwhile. While others bind, a read that takes half a second would never come through, and
   * each attempt would cost them time. A transaction that also writes is checked before its work and not after.
   */
  async #read(range: IRangeRequest, deploymentId: string): Promise<IRangeResponse> {
    const nothing = { request_delete_range: { key: Buffer.from(deploymentPrefix(deploymentId)) } };
    const { responses } = await this.connection.kv.txn({
      compare: [],
      success: [nothing, { request_range: range }],
      failure: [],
    });
    return responses[1]?.response_range as IRangeResponse;
  }
}
