import { type IKeyValue, SortOrder, SortTarget } from 'etcd3/lib/rpc.js';
import { MalformedRecord } from '../broker/errors.js';
import type { BindingRecord, InstanceRecord, OperationRecord, Stored } from '../broker/model.js';
import type { OnMalformed } from '../broker/ports.js';
import type { EtcdClient } from '../etcd/client.js';
import { rangeOfPrefix } from '../etcd/ranges.js';

/** A record as etcd holds it. */
export interface Raw {
  key: string;
  bytes: Buffer;
  /** The mod_revision. */
  revision: string;
}

/** What a kind of record can't do without: texts and objects. */
export type Fields<T> = readonly (keyof T & string)[];

export const INSTANCE_FIELDS: Fields<InstanceRecord> = [
  'instance_id',
  'deployment_id',
  'state',
  'service_id',
];
export const BINDING_FIELDS: Fields<BindingRecord> = [
  'instance_id',
  'binding_id',
  'state',
  'role',
  'username',
  'key_prefix',
  'sealed_password',
  'attributes',
];
export const OPERATION_FIELDS: Fields<OperationRecord> = ['id', 'instance_id', 'owner'];

export function rawOf(kv: IKeyValue): Raw {
  return { key: kv.key.toString('utf8'), bytes: kv.value, revision: kv.mod_revision };
}

/** @throws MalformedRecord when it is not JSON, or one of the fields is missing */
export function decode<T>({ key, bytes, revision }: Raw, fields: Fields<T>): Stored<T> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    // The parser's message would quote the record.
    throw new MalformedRecord(key, 'it is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new MalformedRecord(key, 'it is not a JSON object');
  }
  const missing = fields.find((field) => !isPresent((value as Record<string, unknown>)[field]));
  if (missing !== undefined) {
    throw new MalformedRecord(key, `it has no "${missing}"`);
  }
  return { value: value as T, revision };
}

function isPresent(field: unknown): boolean {
  return typeof field === 'string' || (typeof field === 'object' && field !== null);
}

/** The record; undefined when it is malformed and `onMalformed` takes care of that. */
function decodeOr<T>(raw: Raw, fields: Fields<T>, onMalformed?: OnMalformed): Stored<T> | undefined {
  try {
    return decode(raw, fields);
  } catch (error) {
    if (!(error instanceof MalformedRecord) || onMalformed === undefined) {
      throw error;
    }
    onMalformed(error.key, error.reason);
    return undefined;
  }
}

/** Reads records. */
export class RecordReader {
  constructor(readonly connection: EtcdClient) {}

  async raw(key: string): Promise<Raw | undefined> {
    const { kvs } = await this.connection.kv.range({ key: Buffer.from(key) });
    return kvs[0] && rawOf(kvs[0]);
  }

  async one<T>(key: string, fields: Fields<T>): Promise<Stored<T> | undefined> {
    const raw = await this.raw(key);
    return raw && decode(raw, fields);
  }

  /** The records under a prefix that were made last, the newest first. */
  async newest<T>(
    prefix: string,
    fields: Fields<T>,
    limit: number,
    onMalformed?: OnMalformed,
  ): Promise<Stored<T>[]> {
    const { kvs } = await this.connection.kv.range({
      ...rangeOfPrefix(prefix),
      limit,
      sort_target: SortTarget.Create,
      sort_order: SortOrder.Descend,
    });
    return kvs.flatMap((kv) => decodeOr(rawOf(kv), fields, onMalformed) ?? []);
  }

  /** All records under a prefix, in the order of their keys, `page` of them in a call. */
  async *all<T>(
    prefix: string,
    fields: Fields<T>,
    page: number,
    onMalformed?: OnMalformed,
  ): AsyncGenerator<Stored<T>> {
    for await (const kv of this.kvs(prefix, page)) {
      const stored = decodeOr(rawOf(kv), fields, onMalformed);
      if (stored !== undefined) {
        yield stored;
      }
    }
  }

  /** The first records under a prefix. */
  async first<T>(
    prefix: string,
    fields: Fields<T>,
    limit: number,
    onMalformed?: OnMalformed,
  ): Promise<Stored<T>[]> {
    const { kvs } = await this.connection.kv.range({ ...rangeOfPrefix(prefix), limit });
    return kvs.flatMap((kv) => decodeOr(rawOf(kv), fields, onMalformed) ?? []);
  }

  async *kvs(prefix: string, page: number, keysOnly = false): AsyncGenerator<IKeyValue> {
    const range = rangeOfPrefix(prefix);
    for (;;) {
      const { kvs, more } = await this.connection.kv.range({ ...range, limit: page, keys_only: keysOnly });
      yield* kvs;
      const last = kvs.at(-1);
      if (!more || last === undefined) {
        return;
      }
      range.key = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }
}
