import { keys } from '../../records/keys.js';
import type { FeedEntry } from '../tenants/feed.js';

export const FLOORS = keys.portalFloors;

/** Where the floor of a key space is kept. @param prefix `/d/<deployment>/<key space>/` */
export function floorKey(prefix: string): string {
  return `${FLOORS}${prefix.slice('/d/'.length, -1)}`;
}

/**
 * The revisions below which key spaces can't be read, since a tenant compacted: etcd has them still, for the others.
 * A region of the directory; known here from the moment that they are written, elsewhere from the watch on.
 */
export class Floors {
  readonly prefix = FLOORS;
  readonly #floors = new Map<string, number>();

  put({ key, value }: Pick<FeedEntry, 'key' | 'value'>): void {
    const text = value.toString('latin1');
    // What no portal wrote counts as none.
    if (/^\d{1,16}$/.test(text)) {
      this.#floors.set(key, Math.max(Number(text), this.#floors.get(key) ?? 0));
    }
  }

  remove(key: string): void {
    this.#floors.delete(key);
  }

  /** 0 when nobody has compacted. */
  of(prefix: string): number {
    return this.#floors.size === 0 ? 0 : (this.#floors.get(floorKey(prefix)) ?? 0);
  }
}
