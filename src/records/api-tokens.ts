import { createHash, randomBytes } from 'node:crypto';
import type { EtcdClient } from '../etcd/client.js';
import { rangeOfPrefix } from '../etcd/ranges.js';
import { keys } from './keys.js';

const TOKEN_BYTES = 32;
/** For each instance. */
const MOST_TOKENS = 50;
/** So many characters of its hash name a token. */
const ID_LENGTH = 12;

/** What is known of a token; the token itself is known to its holder alone. */
export interface ApiToken {
  id: string;
  created_at: string;
  description: string;
}

/**
 * Tokens of the administration API, each for one instance. Only their hashes are kept: 32 random bytes need no slow
 * hash, and a lookup by the hash compares nothing that tells of the token.
 *
 * Methods throw `EtcdError`.
 */
export class ApiTokens {
  constructor(readonly client: Pick<EtcdClient, 'kv'>) {}

  /** @returns the token, which nobody can read again; undefined when there is no such instance or it has too many */
  async create(instanceId: string, description: string): Promise<(ApiToken & { token: string }) | undefined> {
    if ((await this.list(instanceId)).length >= MOST_TOKENS) {
      return undefined;
    }
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    const created_at = new Date().toISOString();
    const { succeeded } = await this.client.kv.txn({
      compare: [
        {
          key: Buffer.from(keys.instance(instanceId)),
          target: 'Create',
          result: 'Greater',
          create_revision: '0',
        },
      ],
      success: [
        {
          request_put: {
            key: Buffer.from(keys.apiToken(instanceId, hashOf(token))),
            value: Buffer.from(JSON.stringify({ schema: 1, created_at, description })),
          },
        },
      ],
      failure: [],
    });
    return succeeded ? { id: idOf(hashOf(token)), created_at, description, token } : undefined;
  }

  /** @returns the token's id; undefined when it is not good for this instance now */
  async find(instanceId: string, token: string): Promise<string | undefined> {
    const hash = hashOf(token);
    const key = Buffer.from(keys.apiToken(instanceId, hash));
    const { count } = await this.client.kv.range({ key, count_only: true });
    return count === '1' ? idOf(hash) : undefined;
  }

  async list(instanceId: string): Promise<ApiToken[]> {
    const { kvs } = await this.client.kv.range({
      ...rangeOfPrefix(keys.apiTokensOf(instanceId)),
      limit: MOST_TOKENS,
    });
    return kvs.map(({ key, value }) => {
      const { created_at, description } = JSON.parse(value.toString('utf8'));
      return { id: idOf(key.toString('utf8').split('/').at(-1) as string), created_at, description };
    });
  }

  /** @returns false when there is none of this id */
  async revoke(instanceId: string, id: string): Promise<boolean> {
    const range = rangeOfPrefix(`${keys.apiTokensOf(instanceId)}${id}`);
    if (!/^[0-9a-f]+$/.test(id) || id.length !== ID_LENGTH) {
      return false;
    }
    const { deleted } = await this.client.kv.deleteRange(range);
    return deleted !== '0';
  }
}

function hashOf(token: string): string {
  return createHash('sha256').update(token, 'utf8').digest('hex');
}

const idOf = (hash: string) => hash.slice(0, ID_LENGTH);
