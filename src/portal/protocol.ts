import type { Socket } from 'node:net';

export type Protocol = 'h2' | 'http/1.1';

/** HTTP/2 begins with `PRI * HTTP/2.0` (RFC 9113, section 3.4); no method of HTTP/1.1 begins like that. */
const PREFACE = Buffer.from('PRI');
/** How long a client may take to say its first word. */
const FIRST_WORD_TIMEOUT_MS = 10_000;

/** Which protocol a client speaks, by its first bytes; for those who have not said so in the TLS handshake. */
export class ProtocolGuesses {
  readonly #undecided = new Set<Socket>();

  get size(): number {
    return this.#undecided.size;
  }

  /** Calls back once, unless the socket ends before. The socket then has all its bytes still to be read. */
  guess(socket: Socket, decided: (protocol: Protocol) => void): void {
    let heard = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), FIRST_WORD_TIMEOUT_MS);
    const forget = () => {
      clearTimeout(timer);
      this.#undecided.delete(socket);
      socket.off('data', onData).off('close', forget).off('error', forget);
    };
    const onData = (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk]);
      const word = heard.subarray(0, PREFACE.length);
      const isPreface = word.equals(PREFACE.subarray(0, word.length));
      if (isPreface && word.length < PREFACE.length) {
        return;
      }
      forget();
      socket.pause();
      socket.unshift(heard);
      decided(isPreface ? 'h2' : 'http/1.1');
      socket.resume();
    };
    this.#undecided.add(socket);
    socket.on('data', onData).on('close', forget).on('error', forget);
  }

  close(): void {
    for (const socket of this.#undecided) {
      socket.destroy();
    }
  }
}
