import type { EtcdClient } from '../etcd/client.js';
import { keys } from '../records/keys.js';

/** The last hour whose minutes are folded, since 1970; undefined when none was yet. @throws EtcdError */
export async function foldedHour(client: Pick<EtcdClient, 'kv'>): Promise<number | undefined> {
  const { kvs } = await client.kv.range({ key: Buffer.from(keys.seriesFolded) });
  return kvs[0] && Number(kvs[0].value.toString('latin1'));
}
