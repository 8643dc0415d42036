import { EventEmitter } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { Connection } from '../../../src/etcd/transport/connection.js';
import { PREFACE, settingsAckFrame, settingsFrame } from '../../../src/http2/frame-writers.js';
import type { GrpcServerCall } from '../../../src/portal/grpc/call.js';
import { GrpcServer, type GrpcServerOptions } from '../../../src/portal/grpc/server.js';
import { Connections } from '../../../src/portal/http2/connections.js';
import type { ConnectionLimits } from '../../../src/portal/http2/limits.js';
import { MemoryBudget } from '../../../src/portal/http2/memory-budget.js';
import { blockOf, ScriptedPeer } from '../../etcd/transport/support/scripted-server.js';

export interface EchoPortalOptions {
  limits?: Partial<ConnectionLimits>;
  budgetBytes?: number;
  onHttp?: NonNullable<GrpcServerOptions['onHttp']>;
  /** Calls of other paths than those below. */
  onCall?: GrpcServerOptions['onCall'];
}

/**
 * A server on loopback, without TLS, with calls of its own: `/test/Echo` answers each call with its message,
 * `/test/Stream` each message with itself, `/test/Hold` never, `/test/Flood` with as much as it is asked for.
 */
export class EchoPortal {
  readonly connections: Connections;
  readonly calls: GrpcServerCall[] = [];
  readonly cancelled: string[] = [];
  /** `cancelled` with a reason. */
  readonly events = new EventEmitter();
  readonly faults: unknown[] = [];
  /** Why connections ended, in order. */
  readonly ends: (string | undefined)[] = [];
  readonly #grpc: GrpcServer;
  readonly #onCall: GrpcServerOptions['onCall'] | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #served = new Set<Socket>();
  readonly #clients: Connection[] = [];

  constructor({ limits = {}, budgetBytes, onHttp, onCall }: EchoPortalOptions = {}) {
    this.#onCall = onCall;
    this.connections = new Connections({ limits, budget: new MemoryBudget(budgetBytes) });
    this.#grpc = new GrpcServer({
      onCall: (call) => this.#serve(call),
      onFault: (error) => this.faults.push(error),
      ...(onHttp === undefined ? {} : { onHttp }),
    });
    this.#server = createServer((socket) => this.serve(socket));
  }

  serve(socket: Socket): void {
    this.#served.add(socket);
    const peer = { address: socket.remoteAddress ?? '' };
    this.connections.serve(
      socket,
      this.#grpc.handlersFor(peer, (reason) => this.ends.push(reason?.message)),
    );
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** A socket that has said nothing yet. */
  async socket(): Promise<ScriptedPeer> {
    const socket = connect({ port: this.port, host: '127.0.0.1', noDelay: true });
    this.#sockets.add(socket);
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new ScriptedPeer(socket, 'client');
  }

  /** A client that has exchanged settings. */
  async peer(settings: [number, number][] = []): Promise<ScriptedPeer> {
    const peer = await this.socket();
    peer.send(PREFACE, settingsFrame(settings), settingsAckFrame());
    await peer.next('settings');
    await peer.next('settings ack');
    return peer;
  }

  async client(): Promise<Connection> {
    const client = await Connection.open({ host: '127.0.0.1', port: this.port });
    this.#clients.push(client);
    return client;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) {
      client.close();
    }
    for (const socket of this.#sockets) {
      socket.destroy();
    }
    this.connections.close();
    for (const socket of this.#served) {
      socket.destroy();
    }
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(call: GrpcServerCall) {
    this.calls.push(call);
    const onCancel = (reason: string) => {
      this.cancelled.push(reason);
      this.events.emit('cancelled', reason);
    };
    switch (call.path) {
      case '/test/Echo':
        return { onMessage: (message: Buffer) => call.answer(message), onHalfClose() {}, onCancel };
      case '/test/Stream':
        return {
          onMessage: (message: Buffer) => void call.sendMessage(Buffer.from(message)),
          onHalfClose: () => call.end(0),
          onCancel,
        };
      case '/test/Flood':
        return {
          onMessage: (message: Buffer) => void call.sendMessage(Buffer.alloc(Number(message.toString()))),
          onHalfClose() {},
          onCancel,
        };
      case '/test/Hold':
        return { onMessage() {}, onHalfClose() {}, onCancel };
      default:
        if (this.#onCall !== undefined) {
          return this.#onCall(call);
        }
        call.end(12, `unknown method ${call.path}`);
        return undefined;
    }
  }
}

export const later = () => ({ deadline: performance.now() + 20_000 });

/** The header block of a call. */
export function callBlock(path: string, more: Record<string, string> = {}): Buffer {
  return blockOf({
    ':method': 'POST',
    ':scheme': 'http',
    ':path': path,
    ':authority': 'portal',
    te: 'trailers',
    'content-type': 'application/grpc',
    ...more,
  });
}
