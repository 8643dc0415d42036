import { isAccessChange } from './calls.js';

type Kind = 'transaction' | 'access change';

/** How long a call waits for its turn at the most, in milliseconds. */
const LONGEST_WAIT_MS = 250;

/**
 * Lets transactions and changes of access take turns: while calls of one kind are under way, those of the other wait,
 * and then go together. etcd refuses a transaction that meets a change of users or roles on its way, and sending it
 * again costs more than waiting.
 *
 * This only saves work: what has waited for {@link LONGEST_WAIT_MS} goes, whatever else is under way, and
 * what is under way then keeps nobody waiting any more.
 */
export class AccessTurns {
  /** How many calls of each kind are under way. */
  #running: Record<Kind, number> = { transaction: 0, 'access change': 0 };
  #waiting: { kind: Kind; go: () => void }[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** Makes a call when it is its turn. Calls of other methods do not wait. */
  async take<T>(method: string, call: () => Promise<T>): Promise<T> {
    const kind = kindOf(method);
    if (kind === undefined) {
      return call();
    }
    // Nobody overtakes those who wait, or two calls of one kind in alternation would keep the other out.
    if (this.#waiting.length === 0 && this.#running[otherThan(kind)] === 0) {
      this.#running[kind] += 1;
    } else {
      await this.#turn(kind);
    }
    const running = this.#running;
    try {
      return await call();
    } finally {
      running[kind] -= 1;
      if (running === this.#running && running[kind] === 0) {
        this.#start((waiting) => waiting !== kind);
      }
    }
  }

  #turn(kind: Kind): Promise<void> {
    return new Promise((go) => {
      this.#waiting.push({ kind, go });
      this.#timer ??= this.#patience();
    });
  }

  /** Starts those who wait and are due; they count as under way from here on. */
  #start(isDue: (kind: Kind) => boolean): void {
    const due = this.#waiting.filter(({ kind }) => isDue(kind));
    this.#waiting = this.#waiting.filter(({ kind }) => !isDue(kind));
    clearTimeout(this.#timer);
    this.#timer = this.#waiting.length > 0 ? this.#patience() : undefined;
    for (const { kind, go } of due) {
      this.#running[kind] += 1;
      go();
    }
  }

  #patience(): NodeJS.Timeout {
    return setTimeout(() => {
      // What has taken so long may hang: from now on nobody waits for it.
      this.#running = { transaction: 0, 'access change': 0 };
      this.#start(() => true);
    }, LONGEST_WAIT_MS);
  }
}

function kindOf(method: string): Kind | undefined {
  if (method === 'txn') {
    return 'transaction';
  }
  return isAccessChange(method) ? 'access change' : undefined;
}

function otherThan(kind: Kind): Kind {
  return kind === 'transaction' ? 'access change' : 'transaction';
}
