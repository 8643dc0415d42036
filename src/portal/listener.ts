import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import type { Logger } from '../observability/log.js';
import type { ConnectionCalls, InboundConnection } from './calls/inbound.js';
import type { Peer } from './grpc/call.js';
import { GrpcServer } from './grpc/server.js';
import { Http1Connections } from './http1/connections.js';
import { Connections } from './http2/connections.js';
import { type ClusterState, JsonGateway } from './json/gateway.js';
import { MAX_BODY_BYTES } from './json/plain-exchange.js';
import { type Protocol, ProtocolGuesses } from './protocol.js';
import { readProxyHeader } from './proxied-socket.js';
import { Strangers } from './strangers.js';

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
  /** How many connections may be open on which nobody has signed in; see `strangers.ts`. */
  readonly mostStrangers?: number;
  readonly connected: (connection: InboundConnection) => ConnectionCalls;
  /** For those who ask without a login, see `json/gateway.ts`. */
  readonly clusterState: () => Promise<ClusterState>;
  readonly log: Logger;
}

/** What carries the requests of a connection. */
interface Carrier {
  /** Takes no more requests and closes after those that have come. */
  drain(): void;
  close(): void;
}

/** A client's connection, as HTTP, gRPC and the calls see it. */
class ClientConnection implements Peer, InboundConnection {
  calls!: ConnectionCalls;
  carrier!: Carrier;

  /** @param onSignedIn called when the first tenant is known */
  constructor(
    readonly address: string,
    readonly onSignedIn: () => void,
  ) {}

  get peer(): string {
    return this.address;
  }

  signedIn(): void {
    this.onSignedIn();
  }

  close(): void {
    this.carrier.drain();
    setTimeout(() => this.carrier.close(), FAREWELL_MS).unref();
  }
}

/** Where tenants connect: TLS 1.2 or later, and HTTP/2 or HTTP/1.1. */
export class Listener {
  readonly #server: Server | TlsServer;
  /** Ends TLS behind `#server`, where the PROXY protocol comes before it. */
  readonly #tls: TlsServer | undefined;
  /** Clients' addresses by their load balancer's address and port, which TLS does not hand on. */
  readonly #clients = new Map<string, string>();
  readonly #connections = new Connections();
  readonly #http1 = new Http1Connections(this.#connections.budget, { maxBodyBytes: MAX_BODY_BYTES });
  readonly #guesses = new ProtocolGuesses();
  readonly #strangers: Strangers;
  readonly #gateway: JsonGateway;
  readonly #grpc: GrpcServer;
  /** What new connections are shown, PEM. */
  certificate: string | undefined;

  constructor(readonly options: ListenerOptions) {
    const { tls, clusterState, mostStrangers } = options;
    this.#strangers = new Strangers(mostStrangers);
    this.#gateway = new JsonGateway({ clusterState });
    this.#grpc = new GrpcServer({
      onCall: (call) => (call.peer as ClientConnection).calls.accept(call),
      onHttp: (exchange) => this.#gateway.serve(exchange, (exchange.peer as ClientConnection).calls),
      maxBodyBytes: MAX_BODY_BYTES,
      onFault: (error) => this.#fault(error),
    });
    this.certificate = tls?.cert;
    this.#tls = tls && this.#tlsServer(tls);
    this.#server = options.proxyProtocol
      ? createServer((socket) => void this.#acceptProxied(socket))
      : (this.#tls ?? createServer((socket) => this.#serve(socket)));
    // With TLS this comes before the handshake, which strangers may leave half done.
    this.#server.on('connection', (socket: Socket) => this.#strangers.add(nameOf(socket), socket));
  }

  #tlsServer(tls: NonNullable<ListenerOptions['tls']>): TlsServer {
    const server = createTlsServer(
      {
        ...tls,
        ...TLS_VERSION,
        ALPNProtocols: ['h2', 'http/1.1'],
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      },
      (socket) => this.#serve(socket, socket.alpnProtocol),
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
    this.certificate = tls.cert;
    this.#tls?.setSecureContext({ ...tls, ...TLS_VERSION });
  }

  get connections(): number {
    return this.#connections.size + this.#http1.size + this.#guesses.size;
  }

  /** Takes no new connections, and lets those that are open end; at the latest after `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    this.#server.close();
    this.#guesses.close();
    await Promise.all([this.#connections.drain(timeoutMs), this.#http1.drain(timeoutMs)]);
  }

  async close(): Promise<void> {
    this.#guesses.close();
    this.#connections.close();
    this.#http1.close();
    if (this.#server.listening) {
      await new Promise((resolve) => this.#server.close(resolve));
    }
  }

  #serve(socket: Socket, negotiated?: string | false | null): void {
    if (negotiated === 'h2' || negotiated === 'http/1.1') {
      this.#carry(socket, negotiated);
    } else {
      this.#guesses.guess(socket, (protocol) => this.#carry(socket, protocol));
    }
  }

  #carry(socket: Socket, protocol: Protocol): void {
    const name = nameOf(socket);
    const address = this.#clients.get(name) ?? socket.remoteAddress ?? '';
    const client = new ClientConnection(address, () => this.#strangers.signedIn(name));
    client.calls = this.options.connected(client);
    const onClose = () => client.calls.closed();
    client.carrier =
      protocol === 'h2'
        ? this.#connections.serve(socket, this.#grpc.handlersFor(client, onClose))
        : this.#http1.serve(socket, {
            onRequest: (exchange) => this.#gateway.serve(exchange, client.calls),
            onClose,
            onFault: (error) => this.#fault(error),
          });
  }

  #fault(error: unknown): void {
    const { message, stack } = error as Error;
    this.options.log.error({ reason: message, stack }, 'A fault of the portal ended a connection');
  }
}

function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
