import { Sealer } from '../../credentials/seal.js';
import type { BindingRecord, Stored } from '../model.js';
import type { ChangeResult, OnMalformed, RecordChange } from '../ports.js';

export interface ResealParts {
  records: {
    bindings(instanceId?: string, onMalformed?: OnMalformed): AsyncIterable<Stored<BindingRecord>>;
    change(change: RecordChange): Promise<ChangeResult>;
  };
  seals: Sealer;
}

export interface Resealed {
  /** Sealed under the newest key now, and before already. */
  resealed: number;
  unchanged: number;
  /** Bindings whose key is lost, or that changed all the time. */
  failed: { instance_id: string; binding_id: string; reason: string }[];
  /** Records that can't be read. */
  malformed: { key: string; reason: string }[];
}

const MOST_ROUNDS = 5;

/** Seals every record's password under the newest encryption key, so that older keys can be taken away. */
export async function reseal({ records, seals }: ResealParts): Promise<Resealed> {
  const outcome: Resealed = { resealed: 0, unchanged: 0, failed: [], malformed: [] };
  const onMalformed = (key: string, reason: string) => outcome.malformed.push({ key, reason });
  for await (const stored of records.bindings(undefined, onMalformed)) {
    const { instance_id, binding_id } = stored.value;
    try {
      const changed = await resealOne(records, seals, stored);
      outcome[changed ? 'resealed' : 'unchanged'] += 1;
    } catch (error) {
      outcome.failed.push({ instance_id, binding_id, reason: (error as Error).message });
    }
  }
  return outcome;
}

async function resealOne(
  records: ResealParts['records'],
  seals: Sealer,
  first: Stored<BindingRecord>,
): Promise<boolean> {
  let stored: Stored<BindingRecord> | undefined = first;
  for (let round = 0; stored !== undefined && round < MOST_ROUNDS; round += 1) {
    const { instance_id, binding_id, sealed_password, sealed_etcd_password, username } = stored.value;
    const isNew = (sealed = sealed_password) => Sealer.keyIdOf(sealed) === seals.newestKeyId;
    if (isNew() && isNew(sealed_etcd_password)) {
      return false;
    }
    const again = (sealed: string) => seals.seal(seals.open(sealed, username), username);
    const next = {
      ...stored.value,
      sealed_password: again(sealed_password),
      ...(sealed_etcd_password && { sealed_etcd_password: again(sealed_etcd_password) }),
    };
    const result: ChangeResult = await records.change({
      binding: { instance_id, binding_id, expected: stored, next },
    });
    if (result.done) {
      return true;
    }
    stored = result.binding;
  }
  if (stored === undefined) {
    return false; // it was unbound meanwhile
  }
  throw new Error('The binding changes all the time; run the command again.');
}
