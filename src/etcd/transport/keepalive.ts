export const TICK_MS = 50;
/** Much longer than ticks are late on a busy machine, and much shorter than an answer to a ping may take. */
const LONGEST_TICK_MS = 500;

/**
 * etcd closes a connection with GOAWAY "too_many_pings" after three pings that came within 5 s of the one before
 * (`--grpc-keepalive-min-time`), unless it sent headers or data in between. Counting from the answer to the last ping,
 * which etcd sent when it had it, makes this hold whatever the network does.
 */
const MIN_BETWEEN_PINGS_MS = 5_100;

export interface KeepaliveOptions {
  /** How long nothing may come, while calls are open, until a ping is sent. */
  pingIntervalMs: number;
  /** How long nothing may come after a ping until the connection is given up. */
  pingTimeoutMs: number;
}

/**
 * Decides when to ping and when to give a silent connection up. Without open calls it does neither: etcd forbids pings
 * then, and the next call finds out. Time is the sum of ticks, of which a late one counts for half a second at most:
 * when this process itself was held up, the peer's answers are still to be read.
 */
export class Keepalive {
  readonly #options: KeepaliveOptions;
  #silentMs = 0;
  #waitingMs: number | undefined;
  /** Since the answer to the last ping; undefined when another ping is free. */
  #sinceAnswerMs: number | undefined;

  constructor(options: KeepaliveOptions) {
    this.#options = options;
  }

  /** A ping has not been answered yet. */
  get waiting(): boolean {
    return this.#waitingMs !== undefined;
  }

  /** Anything was received. */
  received(): void {
    this.#silentMs = 0;
    if (this.#waitingMs !== undefined) {
      this.#waitingMs = 0;
    }
  }

  /** Headers or data were received. After the answer to a ping they make the next ping free. */
  receivedMessage(): void {
    if (this.#waitingMs === undefined) {
      this.#sinceAnswerMs = undefined;
    }
  }

  /** Our ping was answered. */
  answered(): void {
    if (this.#waitingMs !== undefined) {
      this.#waitingMs = undefined;
      this.#sinceAnswerMs = 0;
    }
  }

  /** @param elapsedMs since the last tick */
  tick(elapsedMs: number, callsOpen: boolean): 'ping' | 'dead' | undefined {
    const elapsed = Math.min(elapsedMs, LONGEST_TICK_MS);
    if (this.#sinceAnswerMs !== undefined) {
      this.#sinceAnswerMs += elapsed;
    }
    if (this.#waitingMs !== undefined) {
      this.#waitingMs += elapsed;
      return this.#waitingMs >= this.#options.pingTimeoutMs ? 'dead' : undefined;
    }
    if (!callsOpen) {
      // Silence is not forgotten: calls with short deadlines may come and go on a connection that is dead.
      return undefined;
    }
    this.#silentMs += elapsed;
    const allowed = this.#sinceAnswerMs === undefined || this.#sinceAnswerMs >= MIN_BETWEEN_PINGS_MS;
    if (this.#silentMs < this.#options.pingIntervalMs || !allowed) {
      return undefined;
    }
    this.#waitingMs = 0;
    return 'ping';
  }
}
