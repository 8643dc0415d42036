import { codecOf } from '../etcd/messages/codec.js';
import { keyAfter } from '../etcd/ranges.js';
import type { ActiveTenant } from './calls/active-tenant.js';
import { Exchange } from './upstream/exchange.js';
import type { Upstream } from './upstream/upstream.js';

/** Keys in one page. Small ones, so that other calls are not held up by large answers. */
const PAGE = 500;
const PAGE_TIMEOUT_MS = 4_000;
const requests = codecOf('RangeRequest');
const responses = codecOf('RangeResponse');

interface Page {
  header: { revision: string };
  kvs: { key: Buffer; value: Buffer }[];
  more: boolean;
}

/** Adds up the keys and values of one key space, a page at a time, all as they were at one revision. */
export class SizeScan {
  constructor(
    readonly upstream: Upstream,
    readonly active: ActiveTenant,
    readonly signal: AbortSignal,
  ) {}

  /**
   * @param revision to read at; 0 for the latest
   * @throws Error when etcd can't be asked, among others when that revision was compacted meanwhile
   */
  async run(revision: number): Promise<{ bytes: number; revision: number }> {
    const { prefix, prefixEnd: range_end } = this.active.scope;
    let key = prefix;
    let at = revision;
    let bytes = 0;
    for (;;) {
      const page = await this.#page({ key, range_end, limit: PAGE, revision: String(at) });
      at ||= Number(page.header.revision);
      for (const entry of page.kvs) {
        bytes += entry.key.length + entry.value.length;
      }
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) {
        return { bytes, revision: at };
      }
      key = keyAfter(last.key);
    }
  }

  #page(request: object): Promise<Page> {
    const { signal } = this;
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const stop = () => {
        exchange.cancel();
        reject(signal.reason);
      };
      const exchange = new Exchange(this.upstream, this.active.signIn, '/etcdserverpb.KV/Range', {
        answered: (answer) => {
          signal.removeEventListener('abort', stop);
          resolve(responses.decode(answer) as unknown as Page);
        },
        failed: ({ message }) => {
          signal.removeEventListener('abort', stop);
          reject(new Error(message));
        },
      });
      signal.addEventListener('abort', stop);
      const endAt = performance.now() + PAGE_TIMEOUT_MS;
      exchange.start(requests.encode(request), endAt, PAGE_TIMEOUT_MS, true);
    });
  }
}
