import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { ConnectionError, ErrorCode } from '../../http2/errors.js';
import { goawayFrame, pingFrame, windowUpdateFrame } from '../../http2/frame-writers.js';
import { FrameParser } from '../../http2/frames.js';
import { Output } from '../../http2/output.js';
import { ReceiveCredit } from '../../http2/receive-credit.js';
import type { Call, CallHandlers } from './call.js';
import { address, dial } from './dial.js';
import { Status, TransportError } from './errors.js';
import { CONNECTION_WINDOW, clientGreeting, MAX_HELD_BYTES } from './greeting.js';
import { DEFAULT_MAX_MESSAGE_BYTES } from './grpc.js';
import { Inbound } from './inbound.js';
import { Keepalive, TICK_MS } from './keepalive.js';
import type { ConnectionOptions, ConnectionTarget, UnaryOptions } from './options.js';
import { RequestHeaders } from './request-headers.js';
import { Sender } from './sender.js';

import { Stream } from './stream.js';
import { UnaryHandlers } from './unary.js';

export type { Call, CallEnd, CallHandlers } from './call.js';
export type { Delivery } from './errors.js';
export type { ConnectionOptions, ConnectionTarget, UnaryOptions } from './options.js';

/** How many answers to PING and SETTINGS may wait for a peer that asks and does not read. */
const MAX_WAITING_REPLIES = 1_000;
const PING_DATA = Buffer.alloc(8);
const CLOSE_TIMEOUT_MS = 1_000;

/**
 * A client's connection of HTTP/2 (RFC 9113) that carries gRPC calls to one etcd member. It is `open` until the peer
 * says GOAWAY, its stream ids run out or {@link drain} is called; then `draining`: no new calls; then `closed`.
 */
export class Connection {
  #state: 'connecting' | 'open' | 'draining' | 'closed' = 'connecting';
  readonly #socket: Socket;
  readonly #onClose: ConnectionOptions['onClose'];
  readonly #parser: FrameParser;
  readonly #requestHeaders: RequestHeaders;
  readonly #output: Output;
  readonly #sender: Sender;
  readonly #keepalive: Keepalive;
  #ticker: NodeJS.Timeout | undefined;
  #lastTick = 0;
  #waitingReplies = 0;
  #drainReason: Error | undefined;
  #onReady: ((error?: Error) => void) | undefined;
  readonly #onClosed: (() => void)[] = [];

  private constructor(socket: Socket, target: ConnectionTarget, options: ConnectionOptions) {
    this.#socket = socket;
    this.#onClose = options.onClose;
    this.#requestHeaders = new RequestHeaders(target.tls ? 'https' : 'http', address(target));
    const {
      pingIntervalMs = 2_000,
      pingTimeoutMs = 3_000,
      maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES,
    } = options;
    this.#output = new Output(socket, () => this.#onWritable());
    const credit = new ReceiveCredit(CONNECTION_WINDOW, MAX_HELD_BYTES, (bytes) =>
      this.#output.append(windowUpdateFrame(0, bytes)),
    );
    this.#sender = new Sender(this.#output, credit, maxMessageBytes, () => this.#closeWhenDrained());
    this.#keepalive = new Keepalive({ pingIntervalMs, pingTimeoutMs });
    const host = {
      ready: () => this.#onReady?.(),
      reply: (frame: Buffer) => this.#reply(frame),
      goaway: (lastStreamId: number, reason: Error) => this.#onGoaway(lastStreamId, reason),
    };
    this.#parser = new FrameParser(new Inbound(host, this.#sender, credit, this.#keepalive));
    socket.on('data', (chunk: Buffer) => this.#onChunk(chunk));
    socket.on('error', (error) => this.#close(error));
    socket.on('close', () => {
      const how = this.#parser.incomplete ? ' in the middle of a frame' : '';
      this.#close(new Error(`the connection was closed by the peer${how}`));
    });
  }

  /** Rejects with a TransportError, whose message has the text of Node or OpenSSL. */
  static async open(target: ConnectionTarget, options: ConnectionOptions = {}): Promise<Connection> {
    const { connectTimeoutMs = 5_000 } = options;
    const startedAt = performance.now();
    const socket = await dial(target, connectTimeoutMs, options.signal);
    const connection = new Connection(socket, target, options);
    const cancel = () => connection.#close(new Error('the connection is not wanted any more'));
    options.signal?.addEventListener('abort', cancel, { once: true });
    try {
      await connection.#exchangeSettings(connectTimeoutMs - (performance.now() - startedAt), address(target));
    } finally {
      options.signal?.removeEventListener('abort', cancel);
    }
    return connection;
  }

  get state(): 'open' | 'draining' | 'closed' {
    return this.#state === 'connecting' ? 'closed' : this.#state;
  }

  /** How many calls are open or wait for a stream. */
  get calls(): number {
    return this.#sender.streams.size + this.#sender.waiting.size;
  }

  /**
   * Starts a call. `authorization` becomes the `token` metadata.
   *
   * @throws TransportError (`not sent`) when the connection is not open or too many calls wait
   */
  call(path: string, authorization: string | undefined, handlers: CallHandlers): Call {
    return this.#start(path, authorization, handlers);
  }

  /**
   * One request, one answer. At the deadline the stream is reset and the promise rejects with code 4
   * (DEADLINE_EXCEEDED), on `signal` with code 1 (CANCELLED).
   */
  unary(path: string, message: Uint8Array, options: UnaryOptions): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const { token, deadline, signal } = options;
      if (signal?.aborted) {
        throw new TransportError(Status.CANCELLED, 'the call was cancelled', 'not sent');
      }
      const handlers = new UnaryHandlers(resolve, reject);
      const stream = this.#start(path, token, handlers);
      stream.deadline = deadline;
      if (signal !== undefined) {
        const cancel = () => stream.cancel();
        signal.addEventListener('abort', cancel);
        handlers.onSettled = () => signal.removeEventListener('abort', cancel);
      }
      stream.writeLast(message);
    });
  }

  /**
   * As {@link unary}, told to handlers: for who can't afford a promise for each call.
   *
   * @throws TransportError (`not sent`) as {@link call} does
   */
  ask(
    path: string,
    message: Uint8Array,
    token: string | undefined,
    deadline: number,
    handlers: CallHandlers,
  ): Call {
    const stream = this.#start(path, token, handlers);
    stream.deadline = deadline;
    stream.writeLast(message);
    return stream;
  }

  /** Closes at once. Calls that are open fail. */
  close(): void {
    this.#close(undefined);
  }

  /** Takes no new calls, waits for those that are open, then closes; at the latest after `timeoutMs`. */
  drain(timeoutMs: number): Promise<void> {
    if (this.#state === 'closed') {
      return Promise.resolve();
    }
    this.#state = 'draining';
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.close(), timeoutMs);
      this.#onClosed.push(() => {
        clearTimeout(timer);
        resolve();
      });
      this.#closeWhenDrained();
    });
  }

  #start(path: string, token: string | undefined, handlers: CallHandlers): Stream {
    if (this.#state !== 'open') {
      throw new TransportError(Status.UNAVAILABLE, `the connection is ${this.state}`, 'not sent');
    }
    const headers = this.#requestHeaders;
    const tokenBlock = token === undefined ? undefined : headers.ofToken(token);
    const stream = new Stream(this.#sender, headers.ofPath(path), tokenBlock, handlers);
    this.#sender.open(stream);
    if (this.#ticker === undefined) {
      this.#lastTick = performance.now();
      this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    }
    if (this.#sender.exhausted) {
      this.#startDraining(new Error('the stream ids are used up'));
    }
    return stream;
  }

  #exchangeSettings(timeoutMs: number, where: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#close(new Error('no settings in time')), timeoutMs);
      this.#onReady = (error) => {
        this.#onReady = undefined;
        clearTimeout(timer);
        if (error === undefined) {
          this.#state = 'open';
          resolve();
        } else {
          const text = `${where}: ${error.message}`;
          reject(new TransportError(Status.UNAVAILABLE, text, 'not sent', { cause: error }));
        }
      };
      this.#output.append(clientGreeting());
    });
  }

  #onChunk(chunk: Buffer): void {
    this.#keepalive.received();
    try {
      this.#parser.push(chunk);
    } catch (error) {
      if (error instanceof ConnectionError) {
        this.#close(error, error.code);
        return;
      }
      this.#close(error as Error, ErrorCode.INTERNAL_ERROR);
      throw error; // a handler of a call threw
    }
  }

  #tick(): void {
    const now = performance.now();
    const elapsed = now - this.#lastTick;
    this.#lastTick = now;
    const { streams, waiting } = this.#sender;
    for (const calls of [streams.values(), waiting.values()]) {
      for (const stream of calls) {
        if (stream.deadline <= now) {
          stream.abort(ErrorCode.CANCEL, Status.DEADLINE_EXCEEDED, 'no answer before the deadline');
        }
      }
    }
    const action = this.#keepalive.tick(elapsed, this.calls > 0);
    if (action === 'dead') {
      this.#close(new Error('the peer has gone silent: no answer to a ping'));
    } else if (action === 'ping') {
      this.#output.append(pingFrame(PING_DATA, false));
    } else if (this.calls === 0 && !this.#keepalive.waiting) {
      clearInterval(this.#ticker);
      this.#ticker = undefined;
    }
  }

  #onWritable(): void {
    this.#waitingReplies = 0;
    this.#sender.pump();
  }

  #closeWhenDrained(): void {
    if (this.#state === 'draining' && this.calls === 0) {
      this.#close(this.#drainReason);
    }
  }

  /** Begun by the peer or by need: calls that wait for a stream fail. */
  #startDraining(reason: Error): void {
    this.#state = 'draining';
    this.#drainReason = reason;
    this.#sender.failWaiting(reason.message);
    this.#closeWhenDrained();
  }

  #close(reason: Error | undefined, code: number = ErrorCode.NO_ERROR): void {
    if (this.#state === 'closed') {
      return;
    }
    const wasOpen = this.#state !== 'connecting';
    this.#state = 'closed';
    this.#parser.stop();
    clearInterval(this.#ticker);
    const message = reason?.message ?? 'the connection was closed';
    this.#sender.failWaiting(message);
    for (const stream of this.#sender.streams.values()) {
      const sent = stream.openedAtFlush !== this.#output.flushes;
      stream.finish({ code: Status.UNAVAILABLE, message, delivery: sent ? 'unknown' : 'not sent' });
    }
    this.#output.discard();
    if (!this.#socket.destroyed) {
      this.#socket.end(goawayFrame(0, code), () => this.#socket.destroy());
      setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS).unref();
    }
    if (wasOpen) {
      this.#onClose?.(reason);
    } else {
      this.#onReady?.(reason ?? new Error(message));
    }
    for (const closed of this.#onClosed) {
      closed();
    }
  }

  #reply(frame: Buffer): void {
    this.#waitingReplies++;
    if (this.#waitingReplies > MAX_WAITING_REPLIES && this.#output.blocked) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'the peer asks and does not read the answers');
    }
    this.#output.append(frame);
  }

  #onGoaway(lastStreamId: number, reason: Error): void {
    if (this.#state === 'connecting') {
      this.#close(reason);
      return;
    }
    this.#state = 'draining';
    this.#sender.failWaiting(reason.message);
    for (const stream of this.#sender.streams.values()) {
      if (stream.id > lastStreamId) {
        stream.finish({ code: Status.UNAVAILABLE, message: reason.message, delivery: 'not sent' });
      }
    }
    this.#startDraining(reason);
  }
}
