import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import type { Logger } from '../observability/log.js';
import type { ConnectionCalls, InboundConnection } from './calls/inbound.js';
import type { Peer } from './grpc/call.js';
import { GrpcServer } from './grpc/server.js';
import type { ServerConnection } from './http2/connection.js';
import { Connections } from './http2/connections.js';
import { readProxyHeader } from './proxied-socket.js';

/** How long a client may take to read why its connection ends, in milliseconds. */
const FAREWELL_MS = 500;
const HANDSHAKE_TIMEOUT_MS = 10_000;
const TLS_VERSION = { minVersion: 'TLSv1.2' } as const;

export interface ListenerOptions {
  readonly host?: string;
  /** 0 for any free one. */
  readonly port: number;
  /** PEM; without it, plain HTTP/2 for those who end TLS before the portal. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Whether a load balancer says who the client is, by the PROXY protocol, version 2. */
  readonly proxyProtocol?: boolean;
  readonly connected: (connection: InboundConnection) => ConnectionCalls;
  readonly log: Logger;
}

/** A client's connection, as HTTP/2, gRPC and the calls see it. */
class ClientConnection implements Peer, InboundConnection {
  calls!: ConnectionCalls;
  http2!: ServerConnection<unknown>;

  constructor(readonly address: string) {}

  get peer(): string {
    return this.address;
  }

  close(): void {
    this.http2.drain();
    setTimeout(() => this.http2.close(), FAREWELL_MS).unref();
  }
}

/** Where tenants connect: TLS 1.2 or later and HTTP/2. */
export class Listener {
  readonly #server: Server | TlsServer;
  /** Ends TLS behind `#server`, where the PROXY protocol comes before it. */
  readonly #tls: TlsServer | undefined;
  /** Clients' addresses by their load balancer's address and port, which TLS does not hand on. */
  readonly #clients = new Map<string, string>();
  readonly #connections = new Connections();
  readonly #grpc: GrpcServer;

  constructor(readonly options: ListenerOptions) {
    const { tls, log } = options;
    this.#grpc = new GrpcServer({
      onCall: (call) => (call.peer as ClientConnection).calls.accept(call),
      onFault: (error) => {
        const { message, stack } = error as Error;
        log.error({ reason: message, stack }, 'A fault of the portal ended a connection');
      },
    });
    this.#tls = tls && this.#tlsServer(tls);
    this.#server = options.proxyProtocol
      ? createServer((socket) => void this.#acceptProxied(socket))
      : (this.#tls ?? createServer((socket) => this.#serve(socket)));
  }

  #tlsServer(tls: NonNullable<ListenerOptions['tls']>): TlsServer {
    const server = createTlsServer(
      { ...tls, ...TLS_VERSION, ALPNProtocols: ['h2'], handshakeTimeout: HANDSHAKE_TIMEOUT_MS },
      (socket) => this.#serve(socket),
    );
    return server.on('tlsClientError', () => undefined); // Node has closed the socket
  }

  async #acceptProxied(socket: Socket): Promise<void> {
    const name = nameOf(socket);
    try {
      const client = await readProxyHeader(socket, HANDSHAKE_TIMEOUT_MS);
      this.#clients.set(name, client);
      socket.once('close', () => this.#clients.delete(name));
    } catch (error) {
      this.options.log.debug({ reason: (error as Error).message, peer: name }, 'A connection was refused');
      return;
    }
    if (this.#tls === undefined) {
      this.#serve(socket);
    } else {
      this.#tls.emit('connection', socket);
    }
  }

  /** @returns the port */
  async listen(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.options.port, this.options.host, resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  /** Shows new connections another certificate; those that are open stay as they are. */
  setCertificate(tls: NonNullable<ListenerOptions['tls']>): void {
    this.#tls?.setSecureContext({ ...tls, ...TLS_VERSION });
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Takes no new connections, and lets those that are open end; at the latest after `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    this.#server.close();
    await this.#connections.drain(timeoutMs);
  }

  async close(): Promise<void> {
    this.#connections.close();
    if (this.#server.listening) {
      await new Promise((resolve) => this.#server.close(resolve));
    }
  }

  #serve(socket: Socket): void {
    const client = new ClientConnection(this.#clients.get(nameOf(socket)) ?? socket.remoteAddress ?? '');
    client.calls = this.options.connected(client);
    client.http2 = this.#connections.serve(
      socket,
      this.#grpc.handlersFor(client, () => client.calls.closed()),
    ) as ServerConnection<unknown>;
  }
}

function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
