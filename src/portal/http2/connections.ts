import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { type ConnectionHandlers, ServerConnection } from './connection.js';
import { type ConnectionLimits, DEFAULT_LIMITS } from './limits.js';
import { MemoryBudget } from './memory-budget.js';

const TICK_MS = 1_000;

export interface ConnectionsOptions {
  limits?: Partial<ConnectionLimits>;
  /** What all connections may hold together; 80 MiB where not given. */
  budget?: MemoryBudget;
}

/** All connections of a portal: one clock, one budget, one end. */
export class Connections {
  readonly limits: ConnectionLimits;
  readonly budget: MemoryBudget;
  readonly #open = new Set<ServerConnection<unknown>>();
  #ticker: NodeJS.Timeout | undefined;
  #lastTick = 0;
  #onEmpty: (() => void) | undefined;
  #isDraining = false;

  constructor(options: ConnectionsOptions = {}) {
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.budget = options.budget ?? new MemoryBudget();
  }

  get size(): number {
    return this.#open.size;
  }

  /** Serves HTTP/2 on a socket that is connected, and whose TLS handshake is done. */
  serve<T>(socket: Socket, handlers: ConnectionHandlers<T>): ServerConnection<T> {
    const connection: ServerConnection<T> = new ServerConnection(
      socket,
      {
        interpret: (head) => handlers.interpret(head),
        onRequest: (stream, meaning) => handlers.onRequest(stream, meaning),
        onFault: (error) => handlers.onFault(error),
        onClose: (reason) => {
          this.#remove(connection as ServerConnection<unknown>);
          handlers.onClose?.(reason);
        },
      },
      this,
    );
    this.#open.add(connection as ServerConnection<unknown>);
    if (this.#isDraining) {
      connection.drain(); // its handshake was not done when the others were told
    }
    if (this.#ticker === undefined) {
      this.#lastTick = performance.now();
      this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    }
    return connection;
  }

  /** GOAWAY for all; resolves when none is left, which is at the latest after `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    this.#isDraining = true;
    if (this.#open.size === 0) {
      return;
    }
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
    const timer = setTimeout(() => this.close(), timeoutMs);
    for (const connection of this.#open) {
      connection.drain();
    }
    await empty;
    clearTimeout(timer);
  }

  close(): void {
    for (const connection of this.#open) {
      connection.close();
    }
  }

  /** A late tick counts for two at most: when this process was held up, what the peers sent is still to be read. */
  #tick(): void {
    const now = performance.now();
    const elapsedMs = Math.min(now - this.#lastTick, 2 * TICK_MS);
    this.#lastTick = now;
    for (const connection of this.#open) {
      connection.tick(elapsedMs);
    }
  }

  #remove(connection: ServerConnection<unknown>): void {
    this.#open.delete(connection);
    if (this.#open.size === 0) {
      clearInterval(this.#ticker);
      this.#ticker = undefined;
      this.#onEmpty?.();
    }
  }
}
