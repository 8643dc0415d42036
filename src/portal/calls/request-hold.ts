import type { ClusterGuard } from '../limits/cluster-guard.js';
import type { StoredBytes } from '../limits/stored-bytes.js';
import type { Findings } from '../rewriter/findings.js';
import type { ActiveTenant, Held } from './active-tenant.js';
import type { Status } from './status.js';

/** What one request holds of its tenant's limits and budgets, and gives back when it is over. */
export class RequestHold {
  #isHeld = false;
  #requestBytes = 0;
  #bytes: StoredBytes | undefined;
  #storedBytes = 0;
  #deletes = false;

  constructor(
    readonly active: ActiveTenant,
    readonly held: Held,
  ) {}

  /** @returns why there is no room for it */
  enter(requestBytes: number): Status | undefined {
    const { gauges } = this.active;
    const tooMany = gauges.acquire('requests');
    if (tooMany !== undefined) {
      return this.active.refuse(tooMany);
    }
    this.#isHeld = true;
    this.active.held.add(this.held);
    const tooMuch = gauges.acquire('requestBytes', requestBytes);
    if (tooMuch !== undefined) {
      return this.active.refuse(tooMuch);
    }
    this.#requestBytes = requestBytes;
    return undefined;
  }

  /** @returns why it can't be stored */
  store({ puts, deletes, storedBytes }: Findings, guard: ClusterGuard): Status | undefined {
    this.#deletes = deletes > 0;
    if (puts === 0) {
      return undefined;
    }
    const { bytes } = this.active;
    const full = guard.admitPut() ?? bytes.admit(storedBytes);
    if (full !== undefined) {
      return this.active.refuse(full);
    }
    this.#bytes = bytes;
    this.#storedBytes = storedBytes;
    return undefined;
  }

  /** Whether the outcome has to be told by {@link settle}. */
  get changes(): boolean {
    return this.#bytes !== undefined || this.#deletes;
  }

  /** @param revision at which it was applied; undefined when it surely was not; see {@link StoredBytes.settle} */
  settle(revision: number | undefined): void {
    this.#bytes?.settle(this.#storedBytes, revision);
    this.#bytes = undefined;
    if (this.#deletes && revision !== undefined) {
      this.active.bytes.deleted();
    }
    this.#deletes = false;
  }

  /** Once, after it was settled. */
  leave(): void {
    if (this.#isHeld) {
      this.#isHeld = false;
      const { gauges, held } = this.active;
      held.delete(this.held);
      gauges.release('requests');
      gauges.release('requestBytes', this.#requestBytes);
    }
  }
}
