import type { Socket } from 'node:net';

const FIRST_SEGMENT_BYTES = 2_048;
const SEGMENT_BYTES = 64 * 1024;
const NOTHING = Buffer.alloc(0);
/** Below it a copy is cheaper than one more piece to write. */
const COPY_BELOW_BYTES = 2_048;
/** How much may wait, here and in the socket, before streams have to wait. */
const MAX_WAITING_BYTES = 128 * 1024;

/**
 * What goes out on a socket. All that is written in one turn of the event loop goes out together. Bytes are put into
 * segments that are never written to twice, so the socket may keep them for as long as it likes. Segments begin small
 * and grow, since a server has thousands of connections that hardly say a word.
 */
export class Output {
  readonly #socket: Socket;
  readonly #onFlushed: () => void;
  /** Where to write after {@link reserve}. */
  segment: Buffer = NOTHING;
  #segmentBytes = FIRST_SEGMENT_BYTES;
  /** How many times it was flushed: what was put in since the last time has not been sent. */
  flushes = 0;
  /** How many bytes were ever put in. */
  #added = 0;
  #start = 0;
  #end = 0;
  #pieces: Buffer[] = [];
  #pendingBytes = 0;
  #scheduled = false;
  #blocked = false;

  /** @param onFlushed after each flush that leaves the output {@link writable} */
  constructor(socket: Socket, onFlushed: () => void) {
    this.#socket = socket;
    this.#onFlushed = onFlushed;
    socket.on('drain', () => {
      if (this.#blocked) {
        this.#blocked = false;
        onFlushed();
      }
    });
  }

  /** What waits here and in the socket. */
  get waitingBytes(): number {
    return this.#pendingBytes + this.#socket.writableLength;
  }

  /** How many bytes the peer, or the kernel for it, has ever taken. */
  get takenBytes(): number {
    return this.#added - this.waitingBytes;
  }

  /** Whether the peer takes what we send. Data waits while it is false; control frames don't. */
  get writable(): boolean {
    return !this.#blocked && this.#pendingBytes < MAX_WAITING_BYTES;
  }

  /** The socket is full and has not drained since. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** Makes room for so many bytes in {@link segment}, which the caller fills at once, from the offset returned. */
  reserve(bytes: number): number {
    if (this.#end + bytes > this.segment.length) {
      this.#cut();
      this.segment = Buffer.allocUnsafeSlow(Math.max(this.#segmentBytes, bytes));
      this.#segmentBytes = Math.min(2 * this.#segmentBytes, SEGMENT_BYTES);
      this.#start = 0;
      this.#end = 0;
    }
    const at = this.#end;
    this.#end += bytes;
    this.#pendingBytes += bytes;
    this.#added += bytes;
    this.#schedule();
    return at;
  }

  /** Adds bytes. They must not change until they are sent: large ones are not copied. */
  append(bytes: Uint8Array): void {
    if (bytes.length < COPY_BELOW_BYTES) {
      const at = this.reserve(bytes.length);
      this.segment.set(bytes, at);
      return;
    }
    this.#cut();
    this.#pieces.push(bytes as Buffer);
    this.#pendingBytes += bytes.length;
    this.#added += bytes.length;
    this.#schedule();
  }

  flush(): void {
    this.#scheduled = false;
    if (this.#pendingBytes === 0 || this.#socket.destroyed) {
      return;
    }
    this.#cut();
    this.flushes++;
    const pieces = this.#pieces;
    this.#pendingBytes = 0;
    this.#pieces = [];
    if (pieces.length === 1) {
      this.#socket.write(pieces[0] as Buffer);
    } else {
      this.#socket.cork();
      for (const piece of pieces) {
        this.#socket.write(piece);
      }
      this.#socket.uncork();
    }
    if (this.#socket.writableLength >= MAX_WAITING_BYTES) {
      this.#blocked = true;
    } else {
      this.#onFlushed();
    }
  }

  /** Releases what an idle connection doesn't need. */
  shrink(): void {
    if (this.#pendingBytes === 0) {
      this.segment = NOTHING;
      this.#segmentBytes = FIRST_SEGMENT_BYTES;
      this.#start = 0;
      this.#end = 0;
    }
  }

  /** Forgets what was not flushed. */
  discard(): void {
    this.#start = this.#end;
    this.#pieces = [];
    this.#pendingBytes = 0;
  }

  readonly #flush = (): void => this.flush();

  #cut(): void {
    if (this.#end > this.#start) {
      this.#pieces.push(this.segment.subarray(this.#start, this.#end));
      this.#start = this.#end;
    }
  }

  #schedule(): void {
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(this.#flush);
    }
  }
}
