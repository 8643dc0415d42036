import { isUtf8 } from 'node:buffer';
import type { ConnectionCalls, InboundCall, InboundHandlers } from '../calls/inbound.js';
import { Code } from '../calls/status.js';
import { messageOf } from './from-json.js';
import type { PlainExchange } from './plain-exchange.js';
import { errorBody, httpStatusOf, JSON_HEADERS, streamErrorBody } from './status.js';
import { jsonOf } from './to-json.js';
import { JsonError, jsonValues } from './values.js';

/** A longer answer, in bytes of Protocol Buffers, is refused: writing it as JSON would hold up all others. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
/** So many messages may be sent in the body of a stream. */
const MAX_MESSAGES = 10_000;

export interface JsonCallParts {
  readonly exchange: PlainExchange;
  readonly path: string;
  readonly token: string | undefined;
  readonly timeoutMs: number | undefined;
  /** The names of its messages, and how many go each way. */
  readonly definition: readonly [request: string, response: string, kind: string];
}

/** A call that came as JSON, for those who serve gRPC's. */
export class JsonCall implements InboundCall {
  readonly #exchange: PlainExchange;
  readonly #parts: JsonCallParts;
  #handlers: InboundHandlers | undefined;
  /** What the client has sent and nobody has taken yet. */
  #waiting: Buffer[] = [];
  #isPaused = false;
  #isDelivering = false;
  #isHalfClosed = false;
  #isStreaming = false;
  #isOver = false;

  constructor(parts: JsonCallParts) {
    this.#parts = parts;
    this.#exchange = parts.exchange;
  }

  get path(): string {
    return this.#parts.path;
  }

  get token(): string | undefined {
    return this.#parts.token;
  }

  get timeoutMs(): number | undefined {
    return this.#parts.timeoutMs;
  }

  /** The body is read after the call was accepted, so that a stranger's costs nothing. */
  start(calls: ConnectionCalls): void {
    const handlers = calls.accept(this);
    if (handlers === undefined || this.#isOver) {
      return;
    }
    this.#handlers = handlers;
    this.#exchange.onCancel = () => this.#cancelled();
    this.#exchange.onWritable = () => this.#isOver || handlers.onDrain();
    try {
      this.#waiting = this.#messages();
    } catch (error) {
      if (!(error instanceof JsonError)) {
        throw error;
      }
      this.#cancelled();
      this.#refuse(Code.INVALID_ARGUMENT, error.message);
      return;
    }
    this.#deliver();
  }

  sendMessage(message: Buffer): boolean {
    if (this.#isOver) {
      return false;
    }
    this.#beginStream();
    return this.#exchange.write(`{"result":${jsonOf(this.#parts.definition[1], message)}}\n`);
  }

  answer(message: Buffer, onGone?: () => void): void {
    this.#exchange.whenReleased(onGone);
    if (this.#isOver) {
      return;
    }
    if (message.length > MAX_ANSWER_BYTES) {
      this.end(Code.RESOURCE_EXHAUSTED, 'the answer is too large for JSON');
      return;
    }
    this.#over();
    this.#exchange.respond(200, JSON_HEADERS, jsonOf(this.#parts.definition[1], message));
  }

  end(code: number, message: string): void {
    if (this.#isOver) {
      return;
    }
    this.#over();
    if (code === Code.OK) {
      this.#beginStream();
      this.#exchange.end();
    } else if (this.#isStreaming) {
      this.#exchange.write(streamErrorBody(code, message));
      this.#exchange.end();
    } else {
      this.#refuse(code, message);
    }
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#deliver();
  }

  #messages(): Buffer[] {
    const [request, , kind] = this.#parts.definition;
    const { body } = this.#exchange;
    if (!isUtf8(body)) {
      throw new JsonError('the body is not valid UTF-8');
    }
    const messages: Buffer[] = [];
    for (const value of jsonValues(body.toString())) {
      messages.push(messageOf(request, value));
      if (kind !== 'bidirectional') {
        return messages; // what follows is not looked at, as etcd does not
      }
      if (messages.length > MAX_MESSAGES) {
        throw new JsonError('too many messages');
      }
    }
    return kind === 'bidirectional' ? messages : [Buffer.alloc(0)];
  }

  #deliver(): void {
    const handlers = this.#handlers;
    if (handlers === undefined || this.#isDelivering) {
      return;
    }
    this.#isDelivering = true;
    let next = 0;
    while (next < this.#waiting.length && !this.#isPaused && !this.#isOver) {
      handlers.onMessage(this.#waiting[next++] as Buffer);
    }
    this.#waiting = this.#waiting.slice(next);
    this.#isDelivering = false;
    if (this.#waiting.length === 0 && !this.#isPaused && !this.#isOver && !this.#isHalfClosed) {
      this.#isHalfClosed = true;
      handlers.onHalfClose();
    }
  }

  #beginStream(): void {
    if (!this.#isStreaming) {
      this.#isStreaming = true;
      this.#exchange.respondStream(200, JSON_HEADERS);
    }
  }

  #refuse(code: number, message: string): void {
    const body =
      this.#parts.definition[2] === 'unary' ? errorBody(code, message) : streamErrorBody(code, message);
    this.#exchange.respond(httpStatusOf(code), JSON_HEADERS, body);
  }

  #cancelled(): void {
    if (!this.#isOver) {
      this.#over();
      this.#handlers?.onCancel();
    }
  }

  #over(): void {
    this.#isOver = true;
    this.#waiting = [];
  }
}
