import type { Socket } from 'node:net';
import { ConnectionError, ErrorCode } from '../../http2/errors.js';
import { goawayFrame, pingFrame, rstStreamFrame, windowUpdateFrame } from '../../http2/frame-writers.js';
import { FrameParser, MAX_STREAM_ID } from '../../http2/frames.js';
import { Output } from '../../http2/output.js';
import { Drain } from './drain.js';
import { FloodGuard } from './flood-guard.js';
import { serverGreeting } from './greeting.js';
import { type InboundHost, ServerInbound } from './inbound.js';
import type { ConnectionLimits } from './limits.js';
import { Liveness } from './liveness.js';
import type { MemoryBudget, MemoryHolder } from './memory-budget.js';
import { PrefaceCheck } from './preface.js';
import type { RequestHead } from './request-head.js';
import { type SenderHost, ServerSender } from './sender.js';
import type { ServerStream } from './stream.js';
import type { StreamHandlers } from './stream-host.js';

/** How many answers to PING and SETTINGS may wait for a peer that asks and does not read. */
const MAX_WAITING_REPLIES = 1_000;
const KEEPALIVE = Buffer.from('alive   ');
/** How long the peer may take to read what was sent before the end: little where it is to blame for the end. */
const CLOSE_TIMEOUT_MS = 10_000;
const CUT_TIMEOUT_MS = 1_000;

/** What a connection serves. `T` is what a request's head means to it. */
export interface ConnectionHandlers<T> {
  /** Called once for many requests of the same head; it must not depend on anything else. */
  interpret(head: RequestHead): T;
  onRequest(stream: ServerStream, meaning: T): StreamHandlers;
  /** Once; `reason` is undefined where the connection was closed in good order. */
  onClose?(reason: Error | undefined): void;
  /** A handler threw: a fault of ours. The connection has ended. */
  onFault(error: unknown): void;
}

export interface ConnectionOptions {
  limits: ConnectionLimits;
  budget: MemoryBudget;
}

/** A server's connection of HTTP/2 (RFC 9113) on a socket whose TLS handshake is done. */
export class ServerConnection<T> implements InboundHost<T>, SenderHost, MemoryHolder {
  readonly socket: Socket;
  #state: 'open' | 'draining' | 'closed' = 'open';
  readonly #handlers: ConnectionHandlers<T>;
  readonly #budget: MemoryBudget;
  readonly #guard: FloodGuard;
  readonly #liveness: Liveness;
  readonly #output: Output;
  readonly #sender: ServerSender;
  readonly #inbound: ServerInbound<T>;
  readonly #parser: FrameParser;
  /** Requests that wait until less waits to be sent. */
  readonly #deferred = new Map<ServerStream, T>();
  readonly #preface = new PrefaceCheck();
  #chargedOutput = 0;
  #waitingReplies = 0;
  readonly #drain = new Drain();

  constructor(socket: Socket, handlers: ConnectionHandlers<T>, { limits, budget }: ConnectionOptions) {
    this.socket = socket;
    this.#handlers = handlers;
    this.#budget = budget;
    this.#guard = new FloodGuard(limits);
    this.#liveness = new Liveness(limits);
    this.#output = new Output(socket, () => this.#onWritable());
    this.#sender = new ServerSender(this.#output, limits, this.#guard, this);
    this.#inbound = new ServerInbound(this, this.#sender, this.#guard, limits);
    this.#parser = new FrameParser(this.#inbound, limits.maxHeaderBlockBytes);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#onChunk(chunk));
    socket.on('error', (error) => this.close(error));
    socket.on('close', () => this.close(new Error('the connection was closed by the peer')));
    this.#output.append(serverGreeting(limits));
  }

  get state(): 'open' | 'draining' | 'closed' {
    return this.#state;
  }

  get streams(): number {
    return this.#sender.streams.size;
  }

  /**
   * Takes no new requests after those that are on their way, waits for those that are open, then closes. It has no
   * deadline of its own: {@link close} is it.
   */
  drain(): void {
    if (this.#state === 'open') {
      this.#state = 'draining';
      this.#drain.start();
      this.#output.append(goawayFrame(MAX_STREAM_ID, ErrorCode.NO_ERROR));
    }
  }

  /** Closes at once, with GOAWAY. What is open is aborted. */
  close(reason?: Error, code: number = ErrorCode.NO_ERROR): void {
    if (this.#state === 'closed') {
      return;
    }
    this.#state = 'closed';
    this.#parser.stop();
    const message = reason?.message ?? 'the connection was closed';
    for (const stream of this.#sender.streams.values()) {
      stream.abort(message);
    }
    this.#deferred.clear();
    this.#budget.release(this);
    this.#output.discard();
    if (!this.socket.destroyed) {
      if (reason !== undefined) {
        this.socket.pause(); // a flood is not read any more
      }
      this.socket.end(goawayFrame(this.#inbound.lastId, code, reason?.message), () => this.socket.destroy());
      const timeoutMs = reason === undefined ? CLOSE_TIMEOUT_MS : CUT_TIMEOUT_MS;
      setTimeout(() => this.socket.destroy(), timeoutMs).unref();
    }
    this.#handlers.onClose?.(reason);
  }

  /** @param elapsedMs since the last tick; about once a second */
  tick(elapsedMs: number): void {
    if (this.#state === 'closed') {
      return;
    }
    this.#guard.tick(elapsedMs);
    const stuck = this.#sender.tick(elapsedMs);
    if (!this.#chargeOutput()) {
      return;
    }
    if (stuck !== undefined) {
      this.close(new Error(stuck), ErrorCode.ENHANCE_YOUR_CALM);
      return;
    }
    const action = this.#liveness.tick(elapsedMs, {
      greeted: this.#inbound.settingsAcknowledged && this.#inbound.settingsSeen,
      streamsEver: this.#inbound.lastId > 0,
      streams: this.#sender.streams.size,
      incomplete: this.#parser.incomplete,
      frames: this.#parser.frames,
      waiting: this.#sender.queuedBytes + this.#output.waitingBytes > 0,
      sent: this.#output.takenBytes,
    });
    if (action === 'ping') {
      this.#output.append(pingFrame(KEEPALIVE, false));
    } else if (action !== undefined) {
      this.close(new Error(action.reason), action.code);
    } else if (this.#liveness.idle) {
      this.#output.shrink();
    }
    if (this.#drain.tick(elapsedMs)) {
      this.#inbound.acceptUpTo = this.#inbound.lastId;
      this.#output.append(goawayFrame(this.#inbound.lastId, ErrorCode.NO_ERROR));
    }
    this.#closeWhenDrained();
  }

  interpret(head: RequestHead): T {
    return this.#handlers.interpret(head);
  }

  request(stream: ServerStream, meaning: T): void {
    if (this.#sender.congested) {
      stream.pause();
      this.#deferred.set(stream, meaning);
    } else {
      this.#start(stream, meaning);
    }
  }

  reply(frame: Buffer): void {
    this.#waitingReplies++;
    if (this.#waitingReplies > MAX_WAITING_REPLIES && this.#output.blocked) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'the peer asks and does not read the answers');
    }
    this.#output.append(frame);
  }

  sendReset(streamId: number, code: number): void {
    this.reply(rstStreamFrame(streamId, code));
  }

  sendCredit(bytes: number): void {
    this.#output.append(windowUpdateFrame(0, bytes));
  }

  peerLeaves(): void {
    if (this.#state === 'open') {
      this.#state = 'draining';
      this.#closeWhenDrained();
    }
  }

  hold(bytes: number): boolean {
    if (bytes > 0) {
      return this.#state !== 'closed' && this.#budget.take(this, bytes);
    }
    this.#budget.give(this, -bytes);
    return true;
  }

  endForMemory(): void {
    this.close(new Error('the memory of all connections is used up'), ErrorCode.ENHANCE_YOUR_CALM);
  }

  overflow(): void {
    this.close(new Error('too much waits to be sent'), ErrorCode.ENHANCE_YOUR_CALM);
  }

  streamClosed(stream: ServerStream): void {
    if (this.#deferred.size > 0) {
      this.#deferred.delete(stream);
    }
    this.#closeWhenDrained();
  }

  /** Of the budget, what waits in the output and the socket; false where the connection had to end for it. */
  #chargeOutput(): boolean {
    const more = this.#output.waitingBytes - this.#chargedOutput;
    this.#chargedOutput += more;
    return this.hold(more);
  }

  #start(stream: ServerStream, meaning: T): void {
    const handlers = this.#handlers.onRequest(stream, meaning);
    if (!stream.finished) {
      stream.handlers = handlers;
      stream.deliverEnd();
    }
  }

  #onChunk(chunk: Buffer): void {
    this.#liveness.received();
    try {
      const skipped = this.#preface.take(chunk);
      this.#parser.push(skipped === 0 ? chunk : chunk.subarray(skipped));
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (error instanceof ConnectionError) {
      this.close(error, error.code);
    } else {
      this.close(new Error('a fault of ours', { cause: error }), ErrorCode.INTERNAL_ERROR);
      this.#handlers.onFault(error);
    }
  }

  #onWritable(): void {
    this.#waitingReplies = 0;
    this.#sender.pump();
    for (const [stream, meaning] of this.#deferred) {
      if (this.#sender.congested) {
        break;
      }
      this.#deferred.delete(stream);
      try {
        this.#start(stream, meaning);
        stream.resume();
      } catch (error) {
        this.#fail(error);
      }
    }
  }

  /** Not before the last GOAWAY of a drain, since requests may be on their way. */
  #closeWhenDrained(): void {
    if (this.#state === 'draining' && this.#drain.announced && this.#sender.streams.size === 0) {
      this.#output.flush();
      this.close();
    }
  }
}
