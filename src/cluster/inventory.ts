import type { IPermission, IRequestOp } from 'etcd3';
import type { FoundPermission } from '../broker/checkup/oracle.js';
import { DEPLOYMENTS, deploymentPrefix } from '../broker/tenant-prefix.js';
import type { Secret } from '../credentials/secret.js';
import { CALL_TIMEOUT_MS, type EtcdClient } from '../etcd/client.js';
import { EtcdError } from '../etcd/errors.js';
import { prefixEnd } from '../etcd/ranges.js';
import { isBindingName } from './access-control.js';

/** So many calls at once keep etcd busy and leave room for others. */
const AT_ONCE = 64;
/** etcd takes 128 operations in a transaction by default. */
const OPERATIONS = 100;

/** Reads what there is of roles, users and keys in a cluster, for the oracle. */
export class Inventory {
  constructor(readonly connection: EtcdClient) {}

  /** This broker's roles with their permissions. One that vanishes meanwhile is left out. */
  async roles(): Promise<Map<string, FoundPermission[]>> {
    const { roles } = await this.connection.auth.roleList();
    const found = new Map<string, FoundPermission[]>();
    await inParallel(roles.filter(isBindingName), async (role) => {
      const answer = await unlessGone(this.connection.auth.roleGet({ role }));
      if (answer !== undefined) {
        found.set(role, answer.perm.map(toPermission));
      }
    });
    return found;
  }

  /** This broker's users with their roles. */
  async users(): Promise<Map<string, string[]>> {
    const { users } = await this.connection.auth.userList();
    const found = new Map<string, string[]>();
    await inParallel(users.filter(isBindingName), async (name) => {
      const answer = await unlessGone(this.connection.auth.userGet({ name }));
      if (answer !== undefined) {
        found.set(name, answer.roles);
      }
    });
    return found;
  }

  /** Tries to sign in with each of the credentials. @returns the reason for each user that is refused */
  async refused(credentials: Iterable<{ username: string; password: Secret }>): Promise<Map<string, string>> {
    const refused = new Map<string, string>();
    await inParallel([...credentials], async ({ username, password }) => {
      const request = { name: username, password: password.reveal() };
      try {
        await this.connection.unauthenticated('Auth', 'authenticate', request, CALL_TIMEOUT_MS);
      } catch (error) {
        if (!(error instanceof EtcdError) || error.isTransient) {
          throw error;
        }
        refused.set(username, error.message);
      }
    });
    return refused;
  }

  /**
   * Deployments that have keys and are none of those known. Looks into the gaps between the known prefixes, so it
   * takes no longer when tenants have many keys.
   */
  async strayDeployments(known: Iterable<string>): Promise<string[]> {
    const prefixes = [...known].map(deploymentPrefix).sort();
    const starts = [DEPLOYMENTS, ...prefixes.map(afterPrefix)];
    const ends = [...prefixes, afterPrefix(DEPLOYMENTS)];
    const strays: string[] = [];
    for (let at = 0; at < starts.length; at += OPERATIONS) {
      const gaps = starts
        .slice(at, at + OPERATIONS)
        .map((start, index) => ({ start, end: ends[at + index] as string }));
      const { responses } = await this.connection.kv.txn({
        success: gaps.map(({ start, end }) => firstKey(start, end)),
      });
      for (const [index, { response_range }] of responses.entries()) {
        let key = response_range.kvs[0]?.key.toString('latin1');
        const { end } = gaps[index] as { end: string };
        while (key !== undefined) {
          const id = key.slice(DEPLOYMENTS.length).split('/')[0] as string;
          strays.push(id);
          const rest = await this.connection.kv.txn({
            success: [firstKey(afterPrefix(deploymentPrefix(id)), end)],
          });
          key = rest.responses[0]?.response_range.kvs[0]?.key.toString('latin1');
        }
      }
    }
    return strays;
  }
}

/** Keys are arbitrary bytes; as latin1 each byte is one character, and nothing is lost. */
function firstKey(start: string, end: string): IRequestOp {
  const range = {
    key: Buffer.from(start, 'latin1'),
    range_end: Buffer.from(end, 'latin1'),
    keys_only: true,
    limit: 1,
  };
  return { request_range: range };
}

/** The first key after all that begin with a prefix. */
function afterPrefix(prefix: string): string {
  return prefixEnd(Buffer.from(prefix, 'latin1')).toString('latin1');
}

function toPermission({ permType, key, range_end }: IPermission): FoundPermission {
  const access = { Read: 'readonly', Write: 'writeonly', Readwrite: 'readwrite' } as const;
  return { access: access[permType], key: key.toString('utf8'), range_end: range_end.toString('utf8') };
}

async function unlessGone<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof EtcdError && error.kind === 'not-found') {
      return undefined;
    }
    throw error;
  }
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const item = items[next] as T;
      next += 1;
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
}
