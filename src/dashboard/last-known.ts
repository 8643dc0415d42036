import { LRUCache } from 'lru-cache';
import { ClusterUnavailable, Unavailable } from '../broker/errors.js';
import { withTimeout } from '../timing.js';

/** So long a page waits for etcd, in milliseconds, before it shows what is known. */
const WAIT_MS = 2_000;
/** And so long once it was waited for. */
const WAIT_AGAIN_MS = 200;
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
   * @param since when what else the page shows was read, if etcd did not answer
   * @returns undefined when there is nothing of this name
   * @throws what `read` throws when nothing is known, or when it is not that etcd can't be asked
   */
  async get(name: string, read: () => Promise<T | undefined>, since?: string): Promise<Known<T> | undefined> {
    try {
      const answer = await withTimeout(
        read().then((value) => ({ value })),
        since === undefined ? WAIT_MS : WAIT_AGAIN_MS,
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
