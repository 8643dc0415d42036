import type { Connection } from './connection.js';

/** So many keys at the most are deleted by one call, which takes etcd about 50 ms; others' calls go between. */
const MOST_KEYS = 20_000;
/** The first portion is small, since nothing is known yet of how long a tenant's keys are. */
const FIRST_KEYS = 100;
/** A page of keys is to take about this much memory at the most. */
const PAGE_BYTES = 4 << 20;

/** The prefix of all keys of a deployment. */
export function deploymentPrefix(deploymentId: string): string {
  return `/d/${deploymentId}/`;
}

/** The prefix of one key space of a deployment. */
export function keySpacePrefix(deploymentId: string, keySpace: string): string {
  return `${deploymentPrefix(deploymentId)}${keySpace}/`;
}

/** Tenants' keys, as far as the broker itself has to do with them. */
export class TenantKeys {
  constructor(readonly connection: Connection) {}

  /** How many keys a deployment has. */
  async count(deploymentId: string): Promise<number> {
    const { count } = await this.connection.kv.range({ ...rangeOf(deploymentId), count_only: true });
    return Number(count);
  }

  /**
   * Deletes all keys of a deployment, in portions, so that a million of them hold up neither etcd nor a deadline.
   * @param before called before each portion; throws to stop there
   */
  async deleteAll(deploymentId: string, before: () => void): Promise<void> {
    const range = rangeOf(deploymentId);
    let limit = FIRST_KEYS;
    for (;;) {
      before();
      const { kvs, more } = await this.connection.kv.range({ ...range, keys_only: true, limit });
      const last = kvs.at(-1);
      if (last === undefined) {
        return;
      }
      before();
      const end = more ? Buffer.concat([last.key, Buffer.from([0])]) : range.range_end;
      await this.connection.kv.deleteRange({ key: range.key, range_end: end });
      if (!more) {
        return;
      }
      range.key = end;
      const bytes = kvs.reduce((sum, kv) => sum + kv.key.length, 0);
      limit = Math.max(1, Math.min(MOST_KEYS, Math.floor(PAGE_BYTES / (bytes / kvs.length))));
    }
  }
}

function rangeOf(deploymentId: string): { key: Buffer; range_end: Buffer } {
  const prefix = deploymentPrefix(deploymentId);
  return { key: Buffer.from(prefix), range_end: Buffer.from(`${prefix.slice(0, -1)}0`) };
}
