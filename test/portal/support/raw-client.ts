import { codecOf, type Message } from '../../../src/etcd/messages/codec.js';
import { type CallDefinition, services } from '../../../src/etcd/messages/services.js';
import {
  type Call,
  type CallEnd,
  Connection,
  type ConnectionTarget,
} from '../../../src/etcd/transport/connection.js';
import { TransportError } from '../../../src/etcd/transport/errors.js';
import { until } from './portal.js';

const TIMEOUT_MS = 10_000;

/** gRPC as an attacker speaks it: any path, any message, any token or none. */
export class RawClient {
  token: string | undefined;

  private constructor(readonly connection: Connection) {}

  /** @param tls where the portal has its own certificate */
  static async open(
    port: number,
    login?: { username: string; password: string },
    tls?: ConnectionTarget['tls'],
  ): Promise<RawClient> {
    const target = { host: '127.0.0.1', port };
    const client = new RawClient(await Connection.open(tls === undefined ? target : { ...target, tls }));
    if (login !== undefined) {
      const { username: name, password } = login;
      client.token = (await client.call('Auth/Authenticate', { name, password })).token as string;
    }
    return client;
  }

  /** @param name e.g. `KV/Range`, or a whole path @throws TransportError with gRPC's code and etcd's text */
  async call(name: string, request: object = {}, token = this.token): Promise<Message> {
    const { path, definition } = callNamed(name);
    const message = codecOf(definition[0]).encode(request);
    const deadline = performance.now() + TIMEOUT_MS;
    const answer = await this.connection.unary(path, message, { token, deadline });
    return codecOf(definition[1]).decode(answer);
  }

  /** The status of a call that must fail, as `code text`. */
  async refusal(name: string, request: object = {}, token = this.token): Promise<string> {
    try {
      await this.call(name, request, token);
    } catch (error) {
      if (error instanceof TransportError) {
        return `${error.code} ${error.message}`;
      }
      throw error;
    }
    return 'answered';
  }

  stream(name: string, token = this.token): RawStream {
    return new RawStream(this.connection, name, token);
  }

  close(): void {
    this.connection.close();
  }
}

export class RawStream {
  readonly messages: Message[] = [];
  end: CallEnd | undefined;
  readonly call: Call;
  readonly #definition: CallDefinition;

  constructor(connection: Connection, name: string, token: string | undefined) {
    const { path, definition } = callNamed(name);
    this.#definition = definition;
    const response = codecOf(definition[1]);
    this.call = connection.call(path, token, {
      onMessage: (message) => this.messages.push(response.decode(message)),
      onEnd: (end) => {
        this.end = end;
      },
    });
  }

  write(request: object): void {
    this.call.write(codecOf(this.#definition[0]).encode(request));
  }

  /** The next message that was not taken yet; fails when the stream ends first. */
  async next(): Promise<Message> {
    await until(() => this.messages.length > 0 || this.end !== undefined);
    const message = this.messages.shift();
    if (message === undefined) {
      throw new Error(`The stream has ended: ${this.end?.code} ${this.end?.message}`);
    }
    return message;
  }

  async ended(ms?: number): Promise<string> {
    await until(() => this.end !== undefined, ms);
    return `${this.end?.code} ${this.end?.message}`;
  }
}

function callNamed(name: string): { path: string; definition: CallDefinition } {
  const [short = '', method = ''] = name.split('/');
  for (const [service, calls] of Object.entries(services)) {
    const definition = (calls as { [call: string]: CallDefinition })[method];
    if (definition !== undefined && service.endsWith(`.${short}`)) {
      return { path: `/${service}/${method}`, definition };
    }
  }
  throw new Error(`No call ${name}`);
}
