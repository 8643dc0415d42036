import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { clientError } from './client-error.js';
import { Connections } from './connections.js';

/** Bounds on what clients may send and how slowly; times in milliseconds, sizes in bytes. */
const LIMITS = {
  mostConnections: 4_000,
  maxHeaderSize: 16_384,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 65_000,
  /** How late the time-outs may be noticed. */
  connectionsCheckingInterval: 1_000,
};

/** How often a server that is closing looks for idle connections. */
const LOOK_MS = 50;

/** The HTTP server below the application. */
export class HttpServer {
  readonly #server: Server;
  readonly #onError: (error: Error) => void;
  readonly #unanswered = new Set<ServerResponse>();
  #isClosing = false;

  /**
   * @param onError is told of a connection that could not be taken, for want of file descriptors say
   * @param limits others than the usual ones, for tests
   */
  constructor(handle: RequestListener, onError: (error: Error) => void, limits: Partial<typeof LIMITS> = {}) {
    this.#onError = onError;
    const { mostConnections, ...options } = { ...LIMITS, ...limits };
    const connections = new Connections(mostConnections);
    this.#server = createServer(options, (request, response) => {
      const { socket } = request;
      connections.setAnswering(socket, true);
      if (this.#isClosing) {
        response.setHeader('Connection', 'close');
      }
      this.#unanswered.add(response);
      response.once('close', () => {
        this.#unanswered.delete(response);
        connections.setAnswering(socket, false);
      });
      handle(request, response);
    });
    this.#server.on('connection', (socket) => connections.add(socket));
    this.#server.on('clientError', clientError);
  }

  /**
   * Starts to listen.
   * @param port 0 takes a free one
   * @param host the address to listen on; all interfaces where not given
   * @returns the server's URL on this machine
   * @throws Error with one line
   */
  listen(port: number, host?: string): Promise<string> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      const refuse = (error: NodeJS.ErrnoException) => reject(explain(error, port, host));
      server.once('error', refuse);
      server.listen({ port, host }, () => {
        server.off('error', refuse);
        // Nobody listening for it, an error would end the process.
        server.on('error', this.#onError);
        resolve(`http://${urlHost(host)}:${(server.address() as AddressInfo).port}`);
      });
    });
  }

  /** Takes no more requests and waits until those under way are answered, at most so many milliseconds. */
  close(milliseconds: number): Promise<void> {
    this.#isClosing = true;
    return new Promise((resolve) => {
      // An answer whose head was sent already leaves its connection open, and idle when it ends.
      const looking = setInterval(() => this.#server.closeIdleConnections(), LOOK_MS);
      // A request that is sent very slowly, or an answer that nobody reads, must not hold up the end.
      const timer = setTimeout(() => this.#server.closeAllConnections(), milliseconds);
      this.#server.close(() => {
        clearInterval(looking);
        clearTimeout(timer);
        resolve();
      });
      this.#server.closeIdleConnections();
      // Else the others would stay open, idle, after their answer.
      for (const response of this.#unanswered) {
        if (!response.headersSent) {
          response.setHeader('Connection', 'close');
        }
      }
    });
  }
}

function explain(error: NodeJS.ErrnoException, port: number, host?: string): Error {
  if (error.code === 'EADDRINUSE') {
    return new Error(`The port ${port} is in use; set PORT to another one, or end the program that has it.`);
  }
  if (error.code === 'EACCES') {
    return new Error(`The port ${port} is reserved for other users; set PORT to one above 1023.`);
  }
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND') {
    return new Error(`This machine has no address ${host}; set HOST to one of its own, such as 127.0.0.1.`);
  }
  return error;
}

/** How this machine reaches a server that listens on an address. */
function urlHost(host = '::'): string {
  const isLocal = ['::', '0.0.0.0', '127.0.0.1', '::1', 'localhost'].includes(host);
  return isLocal ? 'localhost' : host.includes(':') ? `[${host}]` : host;
}
