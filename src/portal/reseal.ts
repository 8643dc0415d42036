import type { Sealer } from '../credentials/seal.js';
import type { EtcdClient } from '../etcd/client.js';
import { AUTHORITY_KEY, resealAuthority } from './authority.js';
import { resealTokenKey, TOKEN_KEY } from './tenants/token-key.js';

const MOST_ROUNDS = 5;

/**
 * Seals what portals keep in the records anew under the newest key; where there is nothing, nothing is made.
 * @returns the keys of the records that can't be opened, with the reason
 */
export async function resealPortals(
  { kv }: Pick<EtcdClient, 'kv'>,
  seals: Sealer,
): Promise<{ key: string; reason: string }[]> {
  const failed: { key: string; reason: string }[] = [];
  for (const [key, reseal] of [
    [TOKEN_KEY, resealTokenKey],
    [AUTHORITY_KEY, resealAuthority],
  ] as const) {
    try {
      await resealOne(kv, key, (value) => reseal(value, seals));
    } catch (error) {
      failed.push({ key, reason: (error as Error).message });
    }
  }
  return failed;
}

async function resealOne(
  kv: EtcdClient['kv'],
  name: string,
  reseal: (value: Buffer) => Buffer,
): Promise<void> {
  const key = Buffer.from(name);
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    const [present] = (await kv.range({ key })).kvs;
    if (present === undefined) {
      return;
    }
    const { succeeded } = await kv.txn({
      compare: [{ key, target: 'Mod', result: 'Equal', mod_revision: present.mod_revision }],
      success: [{ request_put: { key, value: reseal(present.value) } }],
      failure: [],
    });
    if (succeeded) {
      return;
    }
  }
  throw new Error('The record changes all the time; run the command again.');
}
