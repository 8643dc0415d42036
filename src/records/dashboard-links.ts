import { createHash, randomBytes } from 'node:crypto';
import type { EtcdClient } from '../etcd/client.js';
import { grantLease } from '../etcd/leases.js';
import { keys } from './keys.js';

const TOKEN_BYTES = 32;
/** How long a link may wait to be opened, in seconds. */
export const LINK_SECONDS = 600;

/**
 * Links that open the dashboard of one instance once, for platforms that can't tell who may. Only their hashes are
 * kept, under a lease.
 *
 * Methods throw `EtcdError`.
 */
export class DashboardLinks {
  constructor(readonly client: EtcdClient) {}

  /**
   * @param scope a deployment's id, or that of all
   * @param user who it is for, as audit lines name them
   * @returns the token of the link, which nobody can read again
   */
  async create(scope: string, user: string): Promise<string> {
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    const lease = await grantLease(this.client, LINK_SECONDS);
    await this.client.kv.put({
      key: Buffer.from(keys.dashboardLink(hashOf(token))),
      value: Buffer.from(JSON.stringify({ schema: 1, deployment_id: scope, user })),
      lease,
    });
    return token;
  }

  /** @returns who it is for, if it is good for this scope; it is good for nothing afterwards */
  async take(scope: string, token: string): Promise<string | undefined> {
    const key = Buffer.from(keys.dashboardLink(hashOf(token)));
    const { kvs } = await this.client.kv.range({ key });
    const link =
      kvs[0] && (JSON.parse(kvs[0].value.toString('utf8')) as { deployment_id: string; user: string });
    if (link?.deployment_id !== scope) {
      return undefined;
    }
    // Of two that come at the same time one deletes it.
    const { deleted } = await this.client.kv.deleteRange({ key });
    return deleted === '1' ? link.user : undefined;
  }
}

function hashOf(token: string): string {
  return createHash('sha256').update(token, 'utf8').digest('hex');
}
