import {
  type ClientHttp2Session,
  connect,
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';

/** A call that passes through the proxy. */
export interface EtcdCall {
  /** e.g. `/etcdserverpb.KV/Txn` */
  path: string;
  /** The request's message as it was sent; empty for a stream. Ids and names in it can be looked for. */
  message: Buffer;
  /** Its place among the calls that change something, from 1; 0 for one that only reads. */
  number: number;
  /** How etcd answered, once it has: gRPC's status, `0` when all is well. */
  status?: string;
}

/**
 * Asked at a call. `pass` lets it go on. `drop` lets it hang: the caller hears nothing, as when the network loses it.
 * A promise holds the call meanwhile.
 */
export type Verdict = 'pass' | 'drop';
export type Hook = (call: EtcdCall) => Verdict | Promise<Verdict>;

const CHANGES = /^\/etcdserverpb\.(KV\/(Txn|Put|DeleteRange)|Auth\/(?!Authenticate$).*)$/;
const STREAMS = /\/(Watch|LeaseKeepAlive|Snapshot)$/;
/** Of the head of a gRPC message: a flag and the length. */
const HEAD_BYTES = 5;
const GRPC_UNAVAILABLE = '14';

interface WholeResponse {
  headers: OutgoingHttpHeaders;
  body: Buffer;
  trailers: IncomingHttpHeaders | undefined;
}

/**
 * Stands between a broker and etcd and understands single gRPC calls: counts them, holds one right before etcd gets it
 * or right after etcd has answered it, slows all of them down, cuts connections.
 *
 * A call that the broker gave up on still reaches etcd, later, as it does on a slow network: giving up takes nothing
 * back.
 */
export class EtcdProxy {
  /** Asked right before a call goes to etcd. */
  before: Hook = () => 'pass';
  /** Asked when etcd has answered, before the broker hears of it. */
  after: Hook = () => 'pass';
  /** What is answered in place of etcd, by path: messages as they are framed, and OK. */
  readonly answers = new Map<string, Buffer>();
  /** By how much each call is slowed down: half on the way there, half on the way back. */
  delayMs = 0;
  /** How many calls came, by path. */
  readonly counts = new Map<string, number>();
  /** How many calls are on their way right now. */
  inFlight = 0;
  #changes = 0;
  #refusing = false;
  #upstream: ClientHttp2Session | undefined;
  readonly #server: Http2Server;
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Map<NodeJS.Timeout, () => void>();

  private constructor(
    readonly target: string,
    readonly caCertificate: string,
  ) {
    this.#server = createServer({ settings: { maxConcurrentStreams: 100_000 } });
    this.#server.on('connection', (socket: Socket) => {
      if (this.#refusing) {
        socket.destroy();
        return;
      }
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('sessionError', () => undefined); // a broker that was killed
    this.#server.on('stream', (stream, headers) => {
      stream.on('error', () => undefined); // a caller that gave up
      this.#pass(stream, headers).catch(() => stream.destroy());
    });
  }

  /** @param target etcd's `https://host:port`; the proxy itself takes plain connections on loopback */
  static async start(target: string, caCertificate: string): Promise<EtcdProxy> {
    const proxy = new EtcdProxy(target, caCertificate);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Breaks every connection. Unless `refuse` is called too, callers come back at once. */
  cut(): void {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }

  /** Turns new connections away, or stops doing so. */
  refuse(isRefusing: boolean): void {
    this.#refusing = isRefusing;
  }

  async stop(): Promise<void> {
    this.#refusing = true;
    this.cut();
    for (const [timer, resolve] of this.#timers) {
      clearTimeout(timer);
      resolve();
    }
    this.#upstream?.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #pass(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const path = String(headers[':path']);
    this.counts.set(path, (this.counts.get(path) ?? 0) + 1);
    if (STREAMS.test(path)) {
      this.#passStream(stream, headers);
      return;
    }
    this.inFlight += 1;
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of stream) {
        chunks.push(chunk);
      }
      const body = Buffer.concat(chunks);
      const number = CHANGES.test(path) ? ++this.#changes : 0;
      const call: EtcdCall = { path, message: body.subarray(HEAD_BYTES), number };
      await this.#pause();
      if ((await this.before(call)) === 'drop') {
        return;
      }
      const scripted = this.answers.get(path);
      if (scripted !== undefined) {
        const headers = { ':status': 200, 'content-type': 'application/grpc' };
        answer(stream, { headers, body: scripted, trailers: { 'grpc-status': '0' } });
        return;
      }
      const response = await this.#forward(headers, body);
      call.status = String((response.trailers ?? response.headers)['grpc-status']);
      await this.#pause();
      if ((await this.after(call)) === 'drop') {
        return;
      }
      answer(stream, response);
    } finally {
      this.inFlight -= 1;
    }
  }

  #forward(headers: IncomingHttpHeaders, body: Buffer): Promise<WholeResponse> {
    return new Promise((resolve) => {
      const request = this.#connect().request(forwarded(headers));
      const chunks: Buffer[] = [];
      let head: OutgoingHttpHeaders | undefined;
      let trailers: IncomingHttpHeaders | undefined;
      request.on('response', (received) => {
        head = received;
      });
      request.on('trailers', (received) => {
        trailers = received;
      });
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('error', () => undefined);
      request.on('close', () => {
        resolve({ headers: head ?? unavailable(), body: Buffer.concat(chunks), trailers });
      });
      request.end(body);
    });
  }

  #passStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const request = this.#connect().request(forwarded(headers));
    let trailers: IncomingHttpHeaders = {};
    request.on('error', () => stream.destroy());
    request.on('response', (received, flags) => {
      if (stream.destroyed) {
        return;
      }
      const isWhole = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      stream.respond(passable(received), isWhole ? { endStream: true } : { waitForTrailers: true });
    });
    request.on('trailers', (received) => {
      trailers = received;
    });
    stream.on('wantTrailers', () => stream.sendTrailers(passable(trailers)));
    stream.on('data', async (chunk: Buffer) => {
      await this.#pause();
      if (!request.destroyed && !request.writableEnded) {
        request.write(chunk);
      }
    });
    stream.on('end', async () => {
      await this.#pause();
      request.end();
    });
    stream.on('close', () => request.close(constants.NGHTTP2_CANCEL));
    request.on('data', async (chunk: Buffer) => {
      await this.#pause();
      if (!stream.destroyed && !stream.writableEnded) {
        stream.write(chunk);
      }
    });
    request.on('end', async () => {
      await this.#pause();
      stream.end();
    });
  }

  #connect(): ClientHttp2Session {
    if (this.#upstream === undefined || this.#upstream.closed || this.#upstream.destroyed) {
      this.#upstream = connect(this.target, { ca: this.caCertificate });
      this.#upstream.on('error', () => undefined); // its requests tell
    }
    return this.#upstream;
  }

  #pause(): Promise<void> {
    if (this.delayMs === 0) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, this.delayMs / 2);
      this.#timers.set(timer, resolve);
    });
  }
}

function answer(stream: ServerHttp2Stream, { headers, body, trailers }: WholeResponse): void {
  if (stream.destroyed || stream.closed) {
    return;
  }
  if (trailers === undefined) {
    stream.respond(passable(headers), { endStream: true });
    return;
  }
  stream.on('wantTrailers', () => stream.sendTrailers(passable(trailers)));
  stream.respond(passable(headers), { waitForTrailers: true });
  stream.end(body);
}

function forwarded(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const { ':authority': _authority, ':scheme': _scheme, host: _host, ...rest } = headers;
  return rest;
}

/** Without the marks that node adds to received headers. */
function passable(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers));
}

function unavailable(): OutgoingHttpHeaders {
  return {
    ':status': 200,
    'content-type': 'application/grpc',
    'grpc-status': GRPC_UNAVAILABLE,
    'grpc-message': 'the proxy lost etcd',
  };
}
