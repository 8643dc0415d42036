import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { MemoryBudget, MemoryHolder } from '../http2/memory-budget.js';
import type { PlainExchange } from '../json/plain-exchange.js';
import { type ExchangeHost, Http1Exchange } from './exchange.js';
import type { Http1Limits } from './limits.js';

/** How long a silent peer may be gone before the kernel asks. */
const KEEPALIVE_MS = 30_000;

export interface Http1Handlers {
  /** A request, whole. */
  onRequest(exchange: PlainExchange): void;
  /** Once, after its last exchange was ended or cancelled. */
  onClose(): void;
  /** A fault of ours: something threw. */
  onFault(error: unknown): void;
}

/** One client's connection of HTTP/1.1: its requests, their memory and their times. */
export class Http1Connection implements ExchangeHost, MemoryHolder {
  readonly #socket: Socket;
  readonly #handlers: Http1Handlers;
  readonly #limits: Http1Limits;
  readonly #budget: MemoryBudget;
  readonly #exchanges = new Set<Http1Exchange>();
  #isClosed = false;
  #isDraining = false;
  #idleMs = 0;
  #headMs = 0;
  /** When the last request was answered. */
  #bytesRead: number;

  constructor(socket: Socket, handlers: Http1Handlers, limits: Http1Limits, budget: MemoryBudget) {
    this.#socket = socket;
    this.#handlers = handlers;
    this.#limits = limits;
    this.#budget = budget;
    this.#bytesRead = socket.bytesRead;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEPALIVE_MS);
    socket.on('error', () => this.close('the connection failed'));
    socket.on('close', () => this.close('the connection was closed by the peer'));
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  get maxBodyBytes(): number {
    return this.#limits.maxBodyBytes;
  }

  accept(incoming: IncomingMessage, outgoing: ServerResponse): void {
    if (this.#exchanges.size >= this.#limits.maxPipelined) {
      this.close('too many requests without waiting for the answers');
      return;
    }
    const exchange = new Http1Exchange(incoming, outgoing, this);
    this.#exchanges.add(exchange);
    exchange.start();
  }

  serve(exchange: Http1Exchange): void {
    try {
      this.#handlers.onRequest(exchange);
    } catch (error) {
      exchange.respond(500, {});
      this.#handlers.onFault(error);
    }
  }

  finished(exchange: Http1Exchange): void {
    this.#exchanges.delete(exchange);
    this.#idleMs = 0;
    this.#headMs = 0;
    this.#bytesRead = this.#socket.bytesRead;
    if (this.#isDraining && this.#exchanges.size === 0) {
      this.#socket.end();
    }
  }

  hold(bytes: number): boolean {
    if (this.#isClosed) {
      return false;
    }
    if (bytes > 0) {
      return this.#budget.take(this, bytes);
    }
    if (bytes < 0) {
      this.#budget.give(this, -bytes);
    }
    return true;
  }

  endForMemory(): void {
    this.close('the portal has no memory left');
  }

  /** @param elapsedMs since the last tick; about once a second */
  tick(elapsedMs: number): void {
    if (this.#exchanges.size === 0) {
      this.#idleMs += elapsedMs;
      this.#headMs = this.#socket.bytesRead > this.#bytesRead ? this.#headMs + elapsedMs : 0;
      if (this.#idleMs > this.#limits.idleTimeoutMs || this.#headMs > this.#limits.headTimeoutMs) {
        this.close('no request came in time');
      }
      return;
    }
    for (const exchange of this.#exchanges) {
      const late = exchange.tick(elapsedMs, this.#limits);
      if (late !== undefined) {
        this.close(late);
        return;
      }
    }
  }

  /** Takes no more requests than those that have come, and closes after their answers. */
  drain(): void {
    this.#isDraining = true;
    if (this.#exchanges.size === 0) {
      this.#socket.end();
    }
  }

  close(reason = 'the connection was closed'): void {
    if (this.#isClosed) {
      return;
    }
    this.#isClosed = true;
    this.#socket.destroy();
    for (const exchange of this.#exchanges) {
      exchange.abort(reason);
    }
    this.#exchanges.clear();
    this.#budget.release(this);
    this.#handlers.onClose();
  }
}
