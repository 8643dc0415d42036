import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Stands between a client and etcd, passes bytes on and knows nothing of them. */
export class TcpProxy {
  /** How many connections were taken. */
  accepted = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor(target: URL) {
    this.#server = createServer((client) => {
      this.accepted += 1;
      const etcd = connect({ host: target.hostname, port: Number(target.port) });
      for (const [from, to] of [
        [client, etcd],
        [etcd, client],
      ] as const) {
        this.#sockets.add(from);
        from.on('error', () => undefined); // the other side hears of the end
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
    });
  }

  /** @param endpoint etcd's `https://host:port` */
  static async start(endpoint: string): Promise<TcpProxy> {
    const proxy = new TcpProxy(new URL(endpoint));
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get endpoint(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The connections that there are pass nothing on any more and stay open, as when a router forgets them. */
  silence(): void {
    for (const socket of this.#sockets) {
      socket.unpipe();
      socket.pause();
    }
  }

  /** Breaks the connections that there are. */
  cut(): void {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
