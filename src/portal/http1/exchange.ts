import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HeaderField } from '../../http2/hpack.js';
import { Body } from '../http2/body.js';
import type { RequestHead } from '../http2/request-head.js';
import type { PlainExchange } from '../json/plain-exchange.js';

/** An answer is written in pieces, so that it shows whether the client takes any of it. */
const PIECE_BYTES = 64 * 1024;

/** What an exchange needs of its connection. */
export interface ExchangeHost {
  readonly maxBodyBytes: number;
  /** Takes memory, or gives it back; false where the connection had to end for it. */
  hold(bytes: number): boolean;
  /** The request is whole. */
  serve(exchange: Http1Exchange): void;
  /** The answer has been taken. */
  finished(exchange: Http1Exchange): void;
  /** Whether the connection ends after this answer. */
  readonly isDraining: boolean;
}

/** One request of HTTP/1.1 and its answer. */
export class Http1Exchange implements PlainExchange {
  readonly request: RequestHead;
  onCancel: ((reason: string) => void) | undefined;
  onWritable: (() => void) | undefined;
  /** How long the request has been unfinished, or a part of the answer has not been taken. */
  unfinishedMs = 0;
  stalledMs = 0;
  readonly #incoming: IncomingMessage;
  readonly #outgoing: ServerResponse;
  readonly #host: ExchangeHost;
  #body = new Body();
  #held = 0;
  /** Of the answer, what was not handed to the socket yet. */
  #pending = Buffer.alloc(0);
  #isWhole = false;
  #isEnded = false;
  #isWaiting = false;
  #onReleased: (() => void) | undefined;

  constructor(incoming: IncomingMessage, outgoing: ServerResponse, host: ExchangeHost) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    this.#host = host;
    this.request = headOf(incoming);
  }

  get body(): Buffer {
    return this.#body.bytes;
  }

  /** The head has come. */
  start(): void {
    this.#outgoing.on('drain', () => this.#drained());
    this.#outgoing.on('finish', () => this.#finished());
    if (Number(this.#incoming.headers['content-length'] ?? 0) > this.#host.maxBodyBytes) {
      this.#refuse();
      return;
    }
    if (/100-continue/i.test(this.#incoming.headers.expect ?? '')) {
      this.#outgoing.writeContinue();
    }
    this.#incoming.on('data', (chunk: Buffer) => this.#onData(chunk));
    this.#incoming.on('end', () => this.#onEnd());
  }

  respond(status: number, headers: Readonly<Record<string, string>>, body: Uint8Array | string = ''): void {
    if (this.#isGone) {
      return;
    }
    const bytes = Buffer.from(body as string);
    this.#head(status, { ...headers, 'content-length': String(bytes.length) });
    this.#isEnded = true;
    if (this.#hold(bytes.length)) {
      this.#pending = bytes;
      this.#pump();
    }
  }

  respondStream(status: number, headers: Readonly<Record<string, string>>): void {
    if (!this.#isGone) {
      this.#head(status, headers);
      this.#outgoing.flushHeaders();
    }
  }

  write(data: Uint8Array | string): boolean {
    if (this.#isGone) {
      return false;
    }
    this.#isWaiting = !this.#outgoing.write(data);
    return !this.#isWaiting;
  }

  end(): void {
    if (!this.#isGone) {
      this.#isEnded = true;
      this.#outgoing.end();
    }
  }

  whenReleased(onReleased: (() => void) | undefined): void {
    if (this.#isGone) {
      onReleased?.();
    } else {
      this.#onReleased = onReleased;
    }
  }

  /** The connection is gone. */
  abort(reason: string): void {
    const told = this.#isEnded ? undefined : this.onCancel;
    this.#isEnded = true;
    this.#release();
    told?.(reason);
  }

  /** Why the connection has to end. */
  tick(elapsedMs: number, limits: { requestTimeoutMs: number; stallTimeoutMs: number }): string | undefined {
    this.unfinishedMs = this.#isWhole || this.#isEnded ? 0 : this.unfinishedMs + elapsedMs;
    this.stalledMs = this.#isWaiting || this.#isEnded ? this.stalledMs + elapsedMs : 0;
    if (this.unfinishedMs > limits.requestTimeoutMs) {
      return 'a request was not finished in time';
    }
    return this.stalledMs > limits.stallTimeoutMs ? 'the client does not read' : undefined;
  }

  get #isGone(): boolean {
    return this.#isEnded || this.#outgoing.destroyed;
  }

  #onData(chunk: Buffer): void {
    if (this.#isEnded) {
      return;
    }
    if (this.#body.length + chunk.length > this.#host.maxBodyBytes) {
      this.#refuse();
    } else if (this.#hold(this.#body.growth(chunk.length))) {
      this.#body.append(chunk);
    }
  }

  #onEnd(): void {
    if (this.#isEnded) {
      return;
    }
    this.#isWhole = true;
    const held = this.#held;
    this.#host.serve(this);
    this.#hold(-held);
    this.#body = new Body();
  }

  /** Too much: what is still to come is not read. */
  #refuse(): void {
    this.#release();
    this.respond(413, { connection: 'close' });
  }

  #head(status: number, headers: Readonly<Record<string, string>>): void {
    this.#outgoing.writeHead(status, this.#host.isDraining ? { ...headers, connection: 'close' } : headers);
  }

  #pump(): void {
    while (this.#pending.length > 0) {
      const piece = this.#pending.subarray(0, PIECE_BYTES);
      this.#pending = this.#pending.subarray(piece.length);
      if (!this.#outgoing.write(piece) && this.#pending.length > 0) {
        return;
      }
    }
    this.#outgoing.end();
  }

  #drained(): void {
    this.stalledMs = 0;
    if (this.#pending.length > 0) {
      this.#pump();
    } else if (this.#isWaiting) {
      this.#isWaiting = false;
      this.onWritable?.();
    }
  }

  #finished(): void {
    this.#isEnded = true;
    this.#release();
    this.#host.finished(this);
  }

  #hold(bytes: number): boolean {
    this.#held += bytes;
    return this.#host.hold(bytes);
  }

  #release(): void {
    this.#hold(-this.#held);
    this.#body = new Body();
    this.#pending = Buffer.alloc(0);
    this.#onReleased?.();
    this.#onReleased = undefined;
  }
}

function headOf({ method = '', url = '', headers, rawHeaders }: IncomingMessage): RequestHead {
  const fields: HeaderField[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    fields.push([(rawHeaders[at] as string).toLowerCase(), rawHeaders[at + 1] as string]);
  }
  return { method, scheme: '', authority: headers.host ?? '', path: url, fields };
}
