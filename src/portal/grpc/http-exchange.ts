import { encodeField, encodeLiteral } from '../../http2/hpack.js';
import { Body } from '../http2/body.js';
import { fieldOf, type RequestHead } from '../http2/request-head.js';
import type { ServerStream } from '../http2/stream.js';
import type { StreamHandlers } from '../http2/stream-host.js';
import type { Peer } from './call.js';

/** A plain HTTP request, whole, and its answer. */
export class HttpExchange implements StreamHandlers {
  readonly peer: Peer;
  readonly request: RequestHead;
  /** Nobody waits for the answer any more. */
  onCancel: ((reason: string) => void) | undefined;
  /** After a `write` that returned false. */
  onWritable: (() => void) | undefined;
  readonly #stream: ServerStream;
  readonly #maxBodyBytes: number;
  readonly #serve: (exchange: HttpExchange) => void;
  readonly #onFault: (error: unknown) => void;
  #body = new Body();
  #held = 0;
  #reserved = false;

  constructor(
    stream: ServerStream,
    peer: Peer,
    maxBodyBytes: number,
    serve: (exchange: HttpExchange) => void,
    onFault: (error: unknown) => void,
  ) {
    this.#stream = stream;
    this.request = stream.head;
    this.peer = peer;
    this.#maxBodyBytes = maxBodyBytes;
    this.#serve = serve;
    this.#onFault = onFault;
    if (!stream.remoteEnded) {
      stream.host.unfinished(stream, true);
    }
  }

  whenReleased(onReleased: (() => void) | undefined): void {
    this.#stream.whenReleased(onReleased);
  }

  get ended(): boolean {
    return this.#stream.finished;
  }

  /** Valid until `onHttp` has returned. */
  get body(): Buffer {
    return this.#body.bytes;
  }

  /** The whole answer. Names of header fields are in lower case. */
  respond(status: number, headers: Readonly<Record<string, string>>, body: Uint8Array | string = ''): void {
    const bytes = Buffer.from(body as string);
    if (bytes.length === 0) {
      this.#stream.respond(blockOf(status, headers), true);
      return;
    }
    this.respondStream(status, headers);
    this.write(bytes);
    this.end();
  }

  /** The head of an answer that is written piece by piece. */
  respondStream(status: number, headers: Readonly<Record<string, string>>): void {
    this.#stream.respond(blockOf(status, headers));
  }

  /** False when more waits than is good: go on after `onWritable`. */
  write(data: Uint8Array | string): boolean {
    return this.#stream.send(undefined, Buffer.from(data as string));
  }

  end(): void {
    this.#stream.end();
  }

  onData(data: Buffer): number {
    const growth = this.#body.growth(data.length);
    if (this.#body.length + data.length > this.#maxBodyBytes) {
      this.#body = new Body();
      this.respond(413, {});
    } else if (this.#stream.charge(growth)) {
      this.#held += growth;
      this.#body.append(data);
      this.#askForMore();
    }
    return data.length;
  }

  onEnd(): void {
    const stream = this.#stream;
    stream.host.unfinished(stream, false);
    const announced = fieldOf(this.request, 'content-length');
    if (announced !== undefined && announced !== String(this.#body.length)) {
      this.respond(400, {});
      return;
    }
    try {
      this.#serve(this);
    } catch (error) {
      this.respond(500, {});
      this.#onFault(error);
    }
    this.#body = new Body();
    stream.charge(-this.#held);
  }

  onAbort(reason: string): void {
    this.onCancel?.(reason);
  }

  onDrain(): void {
    this.onWritable?.();
  }

  /** The length is not known: a body that does not fit the window is read when there is memory for the largest. */
  #askForMore(): void {
    const stream = this.#stream;
    if (this.#reserved || stream.receiveWindow > stream.host.streamWindow / 2 || stream.remoteEnded) {
      return;
    }
    this.#reserved = true;
    stream.host.unfinished(stream, false);
    stream.host.reserve(stream, this.#maxBodyBytes, () => {
      stream.host.unfinished(stream, true);
      stream.ensureWindow(this.#maxBodyBytes + 1 - this.#body.length);
    });
  }
}

function blockOf(status: number, headers: Readonly<Record<string, string>>): Buffer {
  const fields = Object.entries(headers).map(([name, value]) => encodeLiteral(name, value));
  return Buffer.concat([encodeField(':status', String(status)), ...fields]);
}
