import { CompareResult, CompareTarget } from 'etcd3/lib/rpc.js';

import { Sealer } from '../credentials/seal.js';
import { Secret } from '../credentials/secret.js';
import type { EtcdClient } from '../etcd/client.js';
import { EtcdError } from '../etcd/errors.js';
import { rangeOfPrefix } from '../etcd/ranges.js';
import { keys } from './keys.js';

/** What the check value is sealed for; see {@link Sealer}. */
const PURPOSE = 'key-check';
/** Of records without a check value, as many are tried. */
const SAMPLE = 100;

/** The encryption keys can't open what the records are sealed with. The message is one line that says what to do. */
export class WrongEncryptionKey extends Error {
  override readonly name = 'WrongEncryptionKey';
}

/** What is known of the keys that the records are sealed under. */
export interface SealedWith {
  /** The ids of the keys that are configured, the newest first. */
  configured: readonly string[];
  /** The id of the key of the check value: `null` where there is a value that can't be read, undefined for none. */
  check: string | null | undefined;
  /** The ids of the keys of sealed records. Looked at only where there is no check value. */
  records: readonly string[];
}

export type KeyDecision = 'fits' | 'write the check value' | { refused: string };

const REMEDY =
  'Set BROKER_ENCRYPTION_KEY to the list that the other replicas have, this key included. If it is lost for good, run "compose-etcd-broker reseal" with the keys that are left: it names what is lost with it, and asks.';

/** Whether a replica may start with its keys. Keys are told apart by their ids, which are digests of them. */
export function decideOnKeys({ configured, check, records }: SealedWith): KeyDecision {
  if (check === null) {
    return {
      refused: `The record ${keys.keyCheck}, by which encryption keys are checked, can't be read. Run "compose-etcd-broker reseal", which writes it anew.`,
    };
  }
  if (check !== undefined) {
    return configured.includes(check) ? 'fits' : { refused: refusal(check, configured) };
  }
  const [first] = records;
  return first === undefined || records.some((id) => configured.includes(id))
    ? 'write the check value'
    : { refused: refusal(first, configured) };
}

function refusal(needed: string, configured: readonly string[]): string {
  return `The broker's records are sealed under the encryption key ${needed}, and the keys that are set are ${configured.join(', ')}. ${REMEDY}`;
}

interface CheckRecord {
  schema: 1;
  sealed: string;
}

/**
 * A value among the records that is sealed under the newest encryption key, so that a replica with other keys finds
 * out before it serves.
 */
export class KeyCheck {
  constructor(readonly connection: Pick<EtcdClient, 'kv'>) {}

  /**
   * Checks the keys of a replica that starts, and writes the value where there is none yet.
   * @throws WrongEncryptionKey
   */
  async verify(seals: Sealer): Promise<void> {
    // Twice, since another replica may write the value between the look and the write.
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const stored = await this.#read();
      const records = stored === undefined ? await this.#keysOfRecords(seals) : [];
      const check =
        stored && (opens(seals, stored.sealed) ? keyIdOf(stored.sealed) : otherKey(stored, seals));
      const decision = decideOnKeys({ configured: seals.keyIds, check, records });
      if (typeof decision === 'object') {
        throw new WrongEncryptionKey(decision.refused);
      }
      if (decision === 'fits' || (await this.#write(seals, '0'))) {
        return;
      }
    }
  }

  /** Whether the check value is there and one of the keys opens it. */
  async isOpenedBy(seals: Sealer): Promise<boolean> {
    const stored = await this.#read();
    return stored !== undefined && opens(seals, stored.sealed);
  }

  /** Seals the check value anew under the newest key. */
  async rewrite(seals: Sealer): Promise<void> {
    await this.#write(seals, undefined);
  }

  async #read(): Promise<CheckRecord | undefined> {
    const { kvs } = await this.connection.kv.range({ key: Buffer.from(keys.keyCheck) });
    return kvs[0] && parse(kvs[0].value);
  }

  /** Ids of the keys of some records: those that can be opened first. */
  async #keysOfRecords(seals: Sealer): Promise<string[]> {
    const { kvs } = await this.connection.kv.range({ ...BINDINGS, limit: SAMPLE });
    const sealed = kvs.map(({ value }) => parseBinding(value)).filter((record) => record !== undefined);
    const opened = sealed.filter(({ text, purpose }) => opens(seals, text, purpose));
    return (opened.length > 0 ? opened : sealed).map(({ text }) => keyIdOf(text)).filter((id) => id !== null);
  }

  /**
   * @param revision that the record must have, `0` for none; undefined for any
   * @returns whether it was written, or may be left out since etcd has no space left
   */
  async #write(seals: Sealer, revision: string | undefined): Promise<boolean> {
    const key = Buffer.from(keys.keyCheck);
    const record: CheckRecord = { schema: 1, sealed: seals.seal(new Secret(PURPOSE), PURPOSE) };
    try {
      const { succeeded } = await this.connection.kv.txn({
        compare:
          revision === undefined
            ? []
            : [{ key, target: CompareTarget.Mod, result: CompareResult.Equal, mod_revision: revision }],
        success: [{ request_put: { key, value: Buffer.from(JSON.stringify(record)) } }],
      });
      return succeeded;
    } catch (error) {
      // The broker must start all the same, since deleting is what makes room; the next start writes it.
      if (revision !== undefined && error instanceof EtcdError && error.kind === 'no-space') {
        return true;
      }
      throw error;
    }
  }
}

const BINDINGS = rangeOfPrefix(keys.bindings);

/** The id of the key of a value that does not open; `null` when one of the keys should have opened it. */
function otherKey({ sealed }: CheckRecord, seals: Sealer): string | null {
  const id = keyIdOf(sealed);
  return id === null || seals.keyIds.includes(id) ? null : id;
}

function opens(seals: Sealer, text: string, purpose = PURPOSE): boolean {
  try {
    seals.open(text, purpose);
    return true;
  } catch {
    return false; // which key it needs is in its text, and said by the caller
  }
}

function keyIdOf(text: string): string | null {
  return Sealer.keyIdOf(text) ?? null;
}

/** A value that is no such record counts as one that no key opens. */
function parse(value: Buffer): CheckRecord {
  const record = parseJson(value) as Partial<CheckRecord> | undefined;
  return { schema: 1, sealed: typeof record?.sealed === 'string' ? record.sealed : '' };
}

function parseBinding(value: Buffer): { text: string; purpose: string } | undefined {
  const record = parseJson(value) as { sealed_password?: unknown; username?: unknown } | undefined;
  return typeof record?.sealed_password === 'string' && typeof record.username === 'string'
    ? { text: record.sealed_password, purpose: record.username }
    : undefined;
}

function parseJson(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString('utf8')) ?? undefined;
  } catch {
    return undefined; // a malformed record is check's to report
  }
}
