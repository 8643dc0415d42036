import { LRUCache } from 'lru-cache';
import { ClusterUnavailable, Unavailable } from '../broker/errors.js';
import { withTimeout } from '../timing.js';

/** So long a page waits for etcd, in milliseconds, before it shows what is known. */
const WAIT_MS = 3_000;
const MOST = 500;

export interface Known<T> {
  value: T;
  /** When it was read, if that was not just now. */
  since?: string;
}

/** What pages show while etcd does not answer: what was read last. */
export class LastKnown<T extends object> {
  readonly #known = new LRUCache<string, { value: T; at: string }>({ max: MOST });

  /**
   * @returns undefined when there is nothing of this name
   * @throws what `read` throws when nothing is known, or when it is not that etcd can't be asked
   */
  async get(name: string, read: () => Promise<T | undefined>): Promise<Known<T> | undefined> {
    try {
      const answer = await withTimeout(
        read().then((value) => ({ value })),
        WAIT_MS,
      );
      if (answer === undefined) {
        throw new ClusterUnavailable();
      }
      const { value } = answer;
      if (value === undefined) {
        this.#known.delete(name);
        return undefined;
      }
      this.#known.set(name, { value, at: new Date().toISOString() });
      return { value };
    } catch (error) {
      const known = this.#known.get(name);
      if (!(error instanceof Unavailable) || known === undefined) {
        throw error;
      }
      return { value: known.value, since: known.at };
    }
  }
}
