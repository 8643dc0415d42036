import { Status } from '../../etcd/transport/errors.js';
import { MESSAGE_PREFIX_BYTES, writeMessagePrefix } from '../../etcd/transport/grpc.js';
import type { ServerStream } from '../http2/stream.js';
import type { StreamHandlers } from '../http2/stream-host.js';
import { type CallHead, RESPONSE_HEAD, TRAILERS_OK, trailers } from './headers.js';
import { type MessageSink, RequestError, RequestMessages } from './request-messages.js';

/** What a call does to who serves it. Nothing is called after `onCancel`, nor after `end` and `answer`. */
export interface ServerCallHandlers {
  /** It may be a part of a larger buffer: copy what is kept for long. */
  onMessage(message: Buffer): void;
  /** The client sends no more messages. */
  onHalfClose(): void;
  /** Nobody waits for the answer any more: the client has cancelled, or the connection has ended. */
  onCancel(reason: string): void;
  /** After a `sendMessage` that returned false. */
  onDrain?(): void;
}

/** One client's connection, as its calls see it. */
export interface Peer {
  /** The client's address. */
  readonly address: string;
}

/** Written anew for each message: whoever queues it copies it. */
const prefix = Buffer.alloc(MESSAGE_PREFIX_BYTES);

/** One gRPC call of a client. */
export class GrpcServerCall implements StreamHandlers, MessageSink {
  readonly peer: Peer;
  readonly #head: CallHead;
  readonly #stream: ServerStream;
  readonly #maxMessageBytes: number;
  readonly #onFault: (error: unknown) => void;
  #handlers: ServerCallHandlers | undefined;
  #messages: RequestMessages | undefined;

  constructor(
    stream: ServerStream,
    head: CallHead,
    peer: Peer,
    maxMessageBytes: number,
    onFault: (error: unknown) => void,
  ) {
    this.#stream = stream;
    this.#head = head;
    this.peer = peer;
    this.#maxMessageBytes = maxMessageBytes;
    this.#onFault = onFault;
  }

  get path(): string {
    return this.#head.path;
  }

  /** Of the `token` or `authorization` metadata. */
  get token(): string | undefined {
    return this.#head.token;
  }

  /** What the client gave the call, from its start. It is not enforced here. */
  get timeoutMs(): number | undefined {
    return this.#head.timeoutMs;
  }

  /** The call has ended, or the client is gone. */
  get ended(): boolean {
    return this.#stream.finished;
  }

  get paused(): boolean {
    return this.#stream.paused || this.#stream.finished;
  }

  /** Holds messages back; the client has to stop at the stream's window. */
  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** The message must not be changed afterwards. False when more waits than is good: go on after `onDrain`. */
  sendMessage(message: Uint8Array): boolean {
    this.#stream.respond(RESPONSE_HEAD);
    writeMessagePrefix(prefix, 0, message.length);
    return this.#stream.send(prefix, message);
  }

  /**
   * One message and OK: the whole answer of a unary call.
   * @param onGone is called once, when it has been written or is not wanted any more
   */
  answer(message: Uint8Array, onGone?: () => void): void {
    this.#stream.whenReleased(onGone);
    writeMessagePrefix(prefix, 0, message.length);
    this.#stream.answer(RESPONSE_HEAD, prefix, message, TRAILERS_OK);
  }

  /** Ends the call, after what was sent before. */
  end(code: number, message = ''): void {
    if (this.#stream.headersSent) {
      this.#stream.end(trailers(code, message));
    } else {
      this.#stream.respond(Buffer.concat([RESPONSE_HEAD, trailers(code, message)]), true);
    }
  }

  /** @param handlers undefined where the call has been ended */
  start(handlers: ServerCallHandlers | undefined): void {
    this.#handlers = handlers;
  }

  onData(data: Buffer): number {
    this.#messages ??= new RequestMessages(this.#stream, this, this.#maxMessageBytes);
    try {
      return this.#messages.read(data);
    } catch (error) {
      this.#fail(error);
      return data.length;
    }
  }

  onMessage(message: Buffer): void {
    this.#handlers?.onMessage(message);
  }

  onEnd(): void {
    if (this.#messages?.incomplete) {
      this.end(Status.INTERNAL, 'the request ends within a message');
      return;
    }
    this.#guarded(() => this.#handlers?.onHalfClose());
  }

  onAbort(reason: string): void {
    this.#guarded(() => this.#handlers?.onCancel(reason));
  }

  onDrain(): void {
    this.#guarded(() => this.#handlers?.onDrain?.());
  }

  #guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** A fault of ours ends this call only. */
  #fail(error: unknown): void {
    if (error instanceof RequestError) {
      this.end(error.code, error.message);
      return;
    }
    this.end(Status.INTERNAL, 'internal error');
    this.#onFault(error);
  }
}
