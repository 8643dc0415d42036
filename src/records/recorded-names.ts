import type { IKeyValue } from 'etcd3';
import { MalformedRecord } from '../broker/errors.js';
import type { EtcdClient } from '../etcd/client.js';
import { rangeOfPrefix } from '../etcd/ranges.js';
import { keys } from './keys.js';

const PAGE = 500;

/** What records speak of. */
export interface Recorded {
  /** Roles and users. */
  names: ReadonlySet<string>;
  /** Ids of deployments. */
  deployments: ReadonlySet<string>;
}

/**
 * The names and deployments in all records, for a repair that looks again before each deletion: the first look reads
 * everything, later ones what has changed since. What records no longer speak of stays in the answer, to be on the
 * safe side.
 */
export class RecordedNames {
  readonly #names = new Set<string>();
  readonly #deployments = new Set<string>();
  /** Up to which of etcd's revisions everything is read. */
  #revision = 0;

  constructor(readonly connection: Pick<EtcdClient, 'kv'>) {}

  /** @throws MalformedRecord when a record can't be read: what it speaks of is not known then */
  async current(): Promise<Recorded> {
    const { header } = await this.connection.kv.range({ key: Buffer.from(keys.root), count_only: true });
    for (const prefix of [keys.bindings, keys.instances]) {
      await this.#readChanged(prefix);
    }
    this.#revision = Number(header.revision);
    return { names: this.#names, deployments: this.#deployments };
  }

  async #readChanged(prefix: string): Promise<void> {
    const range = rangeOfPrefix(prefix);
    for (;;) {
      const { kvs, more } = await this.connection.kv.range({
        ...range,
        min_mod_revision: String(this.#revision + 1),
        limit: PAGE,
      });
      for (const kv of kvs) {
        this.#add(kv);
      }
      const last = kvs.at(-1);
      if (!more || last === undefined) {
        return;
      }
      range.key = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }

  #add({ key, value }: IKeyValue): void {
    const { role, username, deployment_id } = parse(key, value);
    for (const name of [role, username]) {
      if (typeof name === 'string') {
        this.#names.add(name);
      }
    }
    if (typeof deployment_id !== 'string') {
      throw new MalformedRecord(key.toString('utf8'), 'it has no "deployment_id"');
    }
    this.#deployments.add(deployment_id);
  }
}

function parse(key: Buffer, value: Buffer): Record<string, unknown> {
  let record: unknown;
  try {
    record = JSON.parse(value.toString('utf8'));
  } catch {
    // The parser's message would quote the record.
    throw new MalformedRecord(key.toString('utf8'), 'it is not JSON');
  }
  return typeof record === 'object' && record !== null ? (record as Record<string, unknown>) : {};
}
