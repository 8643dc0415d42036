import type { ActiveTenant } from './calls/active-tenant.js';
import { keySpacePages } from './key-space-pages.js';
import type { Upstream } from './upstream/upstream.js';

const PAGE = 500;

/**
 * Adds up the keys and values of one key space.
 * @param revision to read at; 0 for the latest
 * @throws AskFailed when etcd can't be asked, among others when that revision was compacted meanwhile
 */
export async function sizeOf(
  upstream: Upstream,
  active: ActiveTenant,
  revision: number,
  signal: AbortSignal,
): Promise<{ bytes: number; keys: number; revision: number }> {
  let bytes = 0;
  let keys = 0;
  let at = revision;
  for await (const page of keySpacePages(upstream, active, { revision, limit: PAGE }, signal)) {
    at ||= Number(page.header.revision);
    keys += page.kvs.length;
    for (const { key, value } of page.kvs) {
      bytes += key.length + value.length;
    }
  }
  return { bytes, keys, revision: at };
}
