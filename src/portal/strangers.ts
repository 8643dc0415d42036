import type { Socket } from 'node:net';

/** So many connections on which nobody has signed in may be open. Each costs some 30 KB, and one in a handshake more. */
const MOST_STRANGERS = 2_000;

/** The connections on which nobody has signed in yet. When there are too many, the oldest one is closed. */
export class Strangers {
  /** The oldest first. */
  readonly #sockets = new Map<string, Socket>();

  constructor(readonly most = MOST_STRANGERS) {}

  /** @param name of the connection, the same for the bare socket and for TLS on it */
  add(name: string, socket: Socket): void {
    this.#sockets.set(name, socket);
    socket.once('close', () => this.#sockets.delete(name));
    if (this.#sockets.size > this.most) {
      const [[oldest, its] = []] = this.#sockets;
      this.#sockets.delete(oldest as string);
      its?.destroy();
    }
  }

  /** Somebody has signed in: the connection is a tenant's, and counts for that one. */
  signedIn(name: string): void {
    this.#sockets.delete(name);
  }
}
