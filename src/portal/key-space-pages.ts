import { codecOf } from '../etcd/messages/codec.js';
import { keyAfter } from '../etcd/ranges.js';
import type { ActiveTenant } from './calls/active-tenant.js';
import { Exchange } from './upstream/exchange.js';
import type { Upstream } from './upstream/upstream.js';

const PAGE_TIMEOUT_MS = 4_000;
const requests = codecOf('RangeRequest');
const responses = codecOf('RangeResponse');

export interface Page {
  readonly header: { readonly revision: string };
  readonly kvs: readonly { readonly key: Buffer; readonly value: Buffer; readonly lease: string }[];
  readonly more: boolean;
}

export interface PageOptions {
  /** To read at; 0 for the latest. */
  readonly revision: number;
  /** Keys in one page. Few, so that other calls are not held up by large answers. */
  readonly limit: number;
  readonly keysOnly?: boolean;
}

/**
 * Reads one key space as its tenant's user, a page at a time, all as it was at one revision.
 * @throws Error when etcd can't be asked, among others when that revision was compacted meanwhile
 */
export async function* keySpacePages(
  upstream: Upstream,
  active: ActiveTenant,
  { revision, limit, keysOnly = false }: PageOptions,
  signal: AbortSignal,
): AsyncGenerator<Page> {
  const { prefix, prefixEnd: range_end } = active.scope;
  let key = prefix;
  let at = revision;
  for (;;) {
    const request = { key, range_end, limit, revision: String(at), keys_only: keysOnly };
    const page = await readPage(upstream, active, request, signal);
    at ||= Number(page.header.revision);
    yield page;
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) {
      return;
    }
    key = keyAfter(last.key);
  }
}

function readPage(
  upstream: Upstream,
  active: ActiveTenant,
  request: object,
  signal: AbortSignal,
): Promise<Page> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = () => {
      exchange.cancel();
      reject(signal.reason);
    };
    const exchange = new Exchange(upstream, active.signIn, '/etcdserverpb.KV/Range', {
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
