import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { until } from '../support/portal.js';

const TIMEOUT_MS = 10_000;

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface Sending {
  readonly token?: string | undefined;
  readonly method?: string;
  readonly headers?: Record<string, string>;
}

/** HTTP/1.1 to one server, as a client of etcd's gateway speaks it. */
export class JsonClient {
  token: string | undefined;

  constructor(readonly url: string) {}

  async signIn({ username, password }: { username: string; password: string }): Promise<void> {
    const { text } = await this.post('/v3/auth/authenticate', { name: username, password });
    this.token = (JSON.parse(text) as { token: string }).token;
  }

  /** @param body sent as it is when it is a string */
  async post(path: string, body: unknown, sending: Sending = {}): Promise<Reply> {
    const incoming = await this.open(path, body, sending);
    let text = '';
    for await (const chunk of incoming.setEncoding('utf8')) {
      text += chunk;
    }
    return { status: incoming.statusCode ?? 0, headers: incoming.headers, text };
  }

  /** The body of a success. */
  async call(path: string, body: unknown): Promise<Record<string, unknown>> {
    const { status, text } = await this.post(path, body);
    if (status !== 200) {
      throw new Error(`${path}: ${status} ${text}`);
    }
    return JSON.parse(text) as Record<string, unknown>;
  }

  async stream(path: string, body: unknown, sending: Sending = {}): Promise<JsonLines> {
    const incoming = await this.open(path, body, sending);
    incoming.setTimeout(0);
    return new JsonLines(incoming);
  }

  open(
    path: string,
    body: unknown,
    { token = this.token, method = 'POST', headers = {} }: Sending,
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const authorization = token === undefined ? {} : { authorization: token };
      const outgoing = httpRequest(
        `${this.url}${path}`,
        { method, headers: { ...authorization, ...headers }, agent: false, timeout: TIMEOUT_MS },
        resolve,
      );
      outgoing.on('error', reject).on('timeout', () => outgoing.destroy(new Error('no answer in time')));
      outgoing.end(method === 'POST' ? (typeof body === 'string' ? body : JSON.stringify(body)) : undefined);
    });
  }
}

/** The lines of a stream. */
export class JsonLines {
  #text = '';
  #isOver = false;

  constructor(readonly incoming: IncomingMessage) {
    incoming.setEncoding('utf8');
    incoming.on('data', (chunk: string) => {
      this.#text += chunk;
    });
    incoming.on('error', () => undefined); // the end says it
    incoming.on('close', () => {
      this.#isOver = true;
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** The next line, or what the stream ends with. */
  async next(): Promise<string> {
    await until(() => this.#text.includes('\n') || this.#isOver);
    const [line = '', ...others] = this.#text.split('\n');
    this.#text = others.join('\n');
    return line;
  }

  close(): void {
    this.incoming.destroy();
  }
}

/** Bytes to a port as an attacker sends them, and what comes back. */
export class RawSocket {
  received = '';
  isClosed = false;

  private constructor(readonly socket: Socket) {
    socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  static async open(port: number): Promise<RawSocket> {
    const socket = connect(port, '127.0.0.1');
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new RawSocket(socket);
  }

  write(data: string | Buffer): void {
    this.socket.write(data);
  }

  /** All that was received, once it holds this. */
  async until(text: string): Promise<string> {
    await until(() => this.received.includes(text) || this.isClosed);
    return this.received;
  }

  async closed(ms?: number): Promise<string> {
    await until(() => this.isClosed, ms);
    return this.received;
  }

  close(): void {
    this.socket.destroy();
  }
}
