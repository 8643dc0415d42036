import type { EtcdClient } from '../etcd/client.js';
import { pagedRange } from '../etcd/ranges.js';
import { keys } from '../records/keys.js';
import { decodeMinute } from './encoding.js';
import { addPortal, emptyRow, type UsageRow } from './row.js';

/** A portal may write a minute so many minutes late. */
export const LATE_MINUTES = 3;
/** They are folded, or lost, by then. */
const MOST_MINUTES = 300;
const PAGE = 50;
/** Bounds what is held of minutes that are not folded yet, in bytes; the oldest go first. */
const MOST_BYTES = 64 << 20;

/**
 * What portals wrote of the last minutes, all instances together. It is kept as it was written, and only what is new is
 * read again. Methods throw `EtcdError`.
 */
export class RecentMinutes {
  readonly #records = new Map<string, { minute: number; bytes: Buffer }>();
  #from = Number.POSITIVE_INFINITY;
  #until = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> = Promise.resolve();

  constructor(readonly client: Pick<EtcdClient, 'kv'>) {}

  /** The rows of one deployment by minute. @param until the last minute that may be there */
  async of(deploymentId: string, from: number, until: number): Promise<Map<number, UsageRow>> {
    await this.#refresh(from, until);
    const rows = new Map<number, UsageRow>();
    for (const { minute, bytes } of this.#records.values()) {
      if (minute >= from && minute <= until) {
        for (const [, row] of decodeMinute(bytes, (id) => id === deploymentId)) {
          const sum = rows.get(minute) ?? emptyRow();
          addPortal(sum, row);
          rows.set(minute, sum);
        }
      }
    }
    return rows;
  }

  /** One at a time: the second of two finds what the first has read. */
  #refresh(from: number, until: number): Promise<void> {
    const refreshed = this.#reading.then(() => this.#read(from, until));
    this.#reading = refreshed.catch(() => undefined);
    return refreshed;
  }

  async #read(from: number, until: number): Promise<void> {
    // What is held has no gap.
    const isHeld = from >= this.#from && from <= this.#until + 1;
    if (!isHeld) {
      this.#records.clear();
      this.#from = from;
    }
    for (const [key, { minute }] of this.#records) {
      if (minute < until - MOST_MINUTES) {
        this.#records.delete(key);
        this.#from = Math.max(this.#from, minute + 1);
      }
    }
    // What was read already may still get late ones.
    const first = isHeld ? Math.max(this.#from, this.#until - LATE_MINUTES) : from;
    for await (const [key, minute, bytes] of minuteRecords(this.client, first, until)) {
      this.#records.set(key, { minute, bytes });
    }
    this.#until = until;
    this.#bound();
  }

  #bound(): void {
    let size = [...this.#records.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
    for (const [key, { minute, bytes }] of this.#records) {
      if (size <= MOST_BYTES) {
        return;
      }
      size -= bytes.length;
      this.#from = Math.max(this.#from, minute + 1);
      this.#records.delete(key);
    }
  }
}

/** What portals wrote of some minutes. @throws EtcdError */
export async function* minuteRecords(
  client: Pick<EtcdClient, 'kv'>,
  from: number,
  until: number,
): AsyncGenerator<[key: string, minute: number, bytes: Buffer]> {
  const range = {
    key: Buffer.from(keys.portalMinutesFrom(from)),
    range_end: Buffer.from(keys.portalMinutesFrom(until + 1)),
  };
  for await (const { key, value } of pagedRange(client.kv, range, PAGE)) {
    const name = key.toString('latin1');
    yield [name, Number(name.slice(keys.portalMinutes.length).split('/')[0]), value];
  }
}
