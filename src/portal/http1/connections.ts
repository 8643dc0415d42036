import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type { MemoryBudget } from '../http2/memory-budget.js';
import { Http1Connection, type Http1Handlers } from './connection.js';
import { HTTP1_LIMITS, type Http1Limits } from './limits.js';

const TICK_MS = 1_000;

/** All connections of HTTP/1.1 of a portal. Node's parser reads them, strictly; their times and memory are ours. */
export class Http1Connections {
  readonly limits: Http1Limits;
  readonly #budget: MemoryBudget;
  readonly #server: Server;
  readonly #open = new Map<Socket, Http1Connection>();
  #ticker: NodeJS.Timeout | undefined;
  #onEmpty: (() => void) | undefined;
  #isDraining = false;

  constructor(budget: MemoryBudget, limits: Partial<Http1Limits> = {}) {
    this.limits = { ...HTTP1_LIMITS, ...limits };
    this.#budget = budget;
    this.#server = createServer({
      insecureHTTPParser: false,
      requireHostHeader: true,
      maxHeaderSize: this.limits.maxHeaderBytes,
      // A server that never listens does not look at the time: `tick` does.
      headersTimeout: 0,
      requestTimeout: 0,
      keepAliveTimeout: 0,
    });
    this.#server.maxHeadersCount = this.limits.maxHeaderFields;
    this.#server.on('request', (incoming, outgoing) =>
      this.#open.get(incoming.socket)?.accept(incoming, outgoing),
    );
    // The exchange says whether the body may come.
    this.#server.on('checkContinue', (incoming, outgoing) =>
      this.#open.get(incoming.socket)?.accept(incoming, outgoing),
    );
  }

  get size(): number {
    return this.#open.size;
  }

  /** Serves a socket that is connected, and whose TLS handshake is done. */
  serve(socket: Socket, handlers: Http1Handlers): Http1Connection {
    const onClose = () => {
      this.#remove(socket);
      handlers.onClose();
    };
    const connection = new Http1Connection(
      socket,
      { onRequest: (exchange) => handlers.onRequest(exchange), onFault: handlers.onFault, onClose },
      this.limits,
      this.#budget,
    );
    this.#open.set(socket, connection);
    this.#ticker ??= setInterval(() => this.#tick(), TICK_MS);
    this.#server.emit('connection', socket);
    if (this.#isDraining) {
      connection.drain(); // its handshake was not done when the others were told
    }
    return connection;
  }

  /** Resolves when none is left, which is at the latest after `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    this.#isDraining = true;
    if (this.#open.size === 0) {
      return;
    }
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
    const timer = setTimeout(() => this.close(), timeoutMs);
    for (const connection of this.#open.values()) {
      connection.drain();
    }
    await empty;
    clearTimeout(timer);
  }

  close(): void {
    for (const connection of this.#open.values()) {
      connection.close();
    }
  }

  #tick(): void {
    for (const connection of this.#open.values()) {
      connection.tick(TICK_MS);
    }
  }

  #remove(socket: Socket): void {
    this.#open.delete(socket);
    if (this.#open.size === 0) {
      clearInterval(this.#ticker);
      this.#ticker = undefined;
      this.#onEmpty?.();
    }
  }
}
