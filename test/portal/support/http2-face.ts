import { createServer, type Http2Server, type Http2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { InboundCall, InboundHandlers } from '../../../src/portal/calls/inbound.js';
import type { Portal } from '../../../src/portal/portal.js';

/** gRPC over node:http2 without TLS, for tests of what lies behind the portal's own listener. */
export class Http2Face {
  readonly #server: Http2Server;
  readonly #sessions = new Set<Http2Session>();

  constructor(readonly portal: () => Portal) {
    this.#server = createServer({ settings: { maxConcurrentStreams: 10_000 } });
    this.#server.on('session', (session) => this.#connected(session));
  }

  async listen(port = 0): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#sessions.size;
  }

  async close(): Promise<void> {
    for (const session of this.#sessions) {
      session.destroy();
    }
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #connected(session: Http2Session): void {
    this.#sessions.add(session);
    const calls = this.portal().connected({
      peer: session.socket?.remoteAddress ?? '',
      close: () => session.close(),
    });
    session.on('error', () => undefined);
    session.on('close', () => {
      this.#sessions.delete(session);
      calls.closed();
    });
    session.on('stream', (stream, headers) => {
      const token = headers.token ?? headers.authorization;
      new FacedCall(
        stream as ServerHttp2Stream,
        String(headers[':path']),
        token === undefined ? undefined : String(token),
        (call) => calls.accept(call),
      );
    });
  }
}

class FacedCall implements InboundCall {
  readonly timeoutMs = undefined;
  readonly #handlers: InboundHandlers;
  #isOver = false;
  #isPaused = false;
  #bytes = Buffer.alloc(0);

  constructor(
    readonly stream: ServerHttp2Stream,
    readonly path: string,
    readonly token: string | undefined,
    accept: (call: InboundCall) => InboundHandlers,
  ) {
    stream.on('error', () => undefined);
    this.#handlers = accept(this);
    stream.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#deliver();
    });
    stream.on('end', () => {
      this.#deliver();
      if (!this.#isOver) {
        this.#handlers.onHalfClose();
      }
    });
    stream.on('close', () => {
      if (!this.#isOver) {
        this.#isOver = true;
        this.#handlers.onCancel();
      }
    });
    stream.on('drain', () => {
      if (!this.#isOver) {
        this.#handlers.onDrain();
      }
    });
  }

  send(message: Buffer): boolean {
    this.#head();
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    return this.stream.write(Buffer.concat([prefix, message]));
  }

  end(code: number, message: string): void {
    if (this.#isOver) {
      return;
    }
    this.#isOver = true;
    this.#head();
    if (!this.stream.destroyed) {
      this.stream.on('wantTrailers', () =>
        this.stream.sendTrailers({
          'grpc-status': String(code),
          'grpc-message': encodeURIComponent(message),
        }),
      );
      this.stream.end();
      this.stream.resume();
    }
  }

  pause(): void {
    this.#isPaused = true;
    this.stream.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.stream.resume();
    setImmediate(() => this.#deliver());
  }

  #head(): void {
    if (!this.stream.headersSent && !this.stream.destroyed) {
      this.stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    }
  }

  #deliver(): void {
    while (!this.#isOver && !this.#isPaused && this.#bytes.length >= 5) {
      const end = 5 + this.#bytes.readUInt32BE(1);
      if (this.#bytes.length < end) {
        return;
      }
      const message = this.#bytes.subarray(5, end);
      this.#bytes = this.#bytes.subarray(end);
      this.#handlers.onMessage(message);
    }
  }
}
