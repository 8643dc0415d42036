import type { Socket } from 'node:net';

const signedIn = new WeakSet<Socket>();

/** Marks a connection on which right credentials came: it is not closed for others' sake. */
export function markSignedIn(socket: Socket): void {
  signedIn.add(socket);
}

/** The open connections of a server. When there are too many, one that never signed in is closed. */
export class Connections {
  /** The oldest first. Those that have signed in meanwhile are taken out when they are met. */
  readonly #strangers = new Set<Socket>();
  readonly #answering = new Set<Socket>();
  #open = 0;

  constructor(readonly most: number) {}

  add(socket: Socket): void {
    this.#open += 1;
    this.#strangers.add(socket);
    socket.once('close', () => {
      this.#open -= 1;
      this.#strangers.delete(socket);
      this.#answering.delete(socket);
    });
    if (this.#open > this.most) {
      this.#closeOne();
    }
  }

  /** A request is being answered on the connection, or is answered. */
  setAnswering(socket: Socket, isAnswering: boolean): void {
    if (isAnswering) {
      this.#answering.add(socket);
    } else {
      this.#answering.delete(socket);
    }
  }

  /** The oldest idle stranger goes. There is one: at least the connection that came last. */
  #closeOne(): void {
    for (const socket of this.#strangers) {
      if (signedIn.has(socket)) {
        this.#strangers.delete(socket);
      } else if (!this.#answering.has(socket)) {
        this.#strangers.delete(socket);
        socket.destroy();
        return;
      }
    }
  }
}
