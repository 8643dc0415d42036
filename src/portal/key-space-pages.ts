import { codecOf } from '../etcd/messages/codec.js';
import { RangeWalk } from '../etcd/range-walk.js';
import type { ActiveTenant } from './calls/active-tenant.js';
import { ask } from './upstream/ask.js';
import type { Upstream } from './upstream/upstream.js';

const requests = codecOf('RangeRequest');
const responses = codecOf('RangeResponse');

export interface Page {
  readonly header: { readonly revision: string };
  readonly kvs: readonly { readonly key: Buffer; readonly value: Buffer; readonly lease: string }[];
  readonly more: boolean;
  readonly count: string;
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
 * @throws AskFailed when etcd can't be asked, among others when that revision was compacted meanwhile
 */
export async function* keySpacePages(
  upstream: Upstream,
  active: ActiveTenant,
  { revision, limit, keysOnly = false }: PageOptions,
  signal: AbortSignal,
): AsyncGenerator<Page> {
  const { prefix, prefixEnd } = active.scope;
  const walk = new RangeWalk({ key: prefix, range_end: prefixEnd });
  let at = revision;
  for (let { next } = walk; next !== undefined; { next } = walk) {
    const request = { ...next, limit, revision: String(at), keys_only: keysOnly };
    const answer = await ask(
      upstream,
      active.signIn,
      '/etcdserverpb.KV/Range',
      requests.encode(request),
      signal,
    );
    const page = responses.decode(answer) as unknown as Page;
    at ||= Number(page.header.revision);
    yield page;
    const { kvs, more, count } = page;
    walk.read({ first: kvs[0]?.key, last: kvs.at(-1)?.key, more, count: Number(count), limit });
  }
}
