import { type CallDefinition, services } from '../../etcd/messages/services.js';
import type { ConnectionCalls } from '../calls/inbound.js';
import { Code } from '../calls/status.js';
import { parseTimeout } from '../grpc/headers.js';
import { fieldOf, type RequestHead } from '../http2/request-head.js';
import { JsonCall } from './json-call.js';
import type { PlainExchange } from './plain-exchange.js';
import { callPathOf } from './routes.js';
import { CORS, errorBody, httpStatusOf, JSON_HEADERS } from './status.js';

/** What `/version` and `/health` tell, of the cluster as it is now. */
export interface ClusterState {
  /** etcd's, e.g. `3.5.16`. */
  readonly version: string;
  /** Whether it has a leader. */
  readonly hasLeader: boolean;
}

export interface GatewayParts {
  /** Without a login; whoever answers limits what it costs. Rejects when the cluster can't be reached. */
  readonly clusterState: () => Promise<ClusterState>;
}

/** The whole body for a name and a password: a stranger's is read before anybody knows who it is. */
const MAX_AUTHENTICATE_BYTES = 64 * 1024;
const AUTHENTICATE = '/etcdserverpb.Auth/Authenticate';

/** HTTP/JSON as etcd's gRPC gateway serves it (server/embed/serve.go, grpc-gateway). */
export class JsonGateway {
  constructor(readonly parts: GatewayParts) {}

  /** Answers a request; calls go to `calls`, which are those of its connection. */
  serve(exchange: PlainExchange, calls: ConnectionCalls): void {
    const { request } = exchange;
    const path = request.path.split('?', 1)[0] as string;
    if (request.method === 'OPTIONS') {
      exchange.respond(200, CORS);
    } else if (path === '/version') {
      this.#state(exchange, ({ version }) => [200, { etcdserver: version, etcdcluster: minorOf(version) }]);
    } else if (path === '/health') {
      this.#state(exchange, ({ hasLeader }) =>
        hasLeader ? [200, { health: 'true', reason: '' }] : [503, unhealthy('RAFT NO LEADER')],
      );
    } else {
      this.#call(exchange, callPathOf(path), calls);
    }
  }

  #call(exchange: PlainExchange, path: string | undefined, calls: ConnectionCalls): void {
    const { request } = exchange;
    const definition = path === undefined ? undefined : definitionOf(path);
    if (path === undefined || definition === undefined) {
      refuse(exchange, Code.NOT_FOUND, 'Not Found');
      return;
    }
    if (request.method !== 'POST') {
      refuse(exchange, Code.UNIMPLEMENTED, 'Method Not Allowed', 405, { allow: 'POST' });
      return;
    }
    const timeout = fieldOf(request, 'grpc-timeout');
    const timeoutMs = timeout === undefined ? undefined : parseTimeout(timeout);
    if (timeout !== undefined && timeoutMs === undefined) {
      refuse(exchange, Code.INVALID_ARGUMENT, `invalid grpc-timeout: ${timeout}`);
      return;
    }
    if (path === AUTHENTICATE && exchange.body.length > MAX_AUTHENTICATE_BYTES) {
      refuse(exchange, Code.RESOURCE_EXHAUSTED, 'the body is too large', 413);
      return;
    }
    new JsonCall({ exchange, path, definition, token: tokenOf(request), timeoutMs }).start(calls);
  }

  #state(exchange: PlainExchange, answer: (state: ClusterState) => readonly [number, object]): void {
    if (exchange.request.method !== 'GET' && exchange.request.method !== 'HEAD') {
      refuse(exchange, Code.UNIMPLEMENTED, 'Method Not Allowed', 405, { allow: 'GET' });
      return;
    }
    this.parts.clusterState().then(
      (state) => {
        const [status, body] = answer(state);
        exchange.respond(status, JSON_HEADERS, JSON.stringify(body));
      },
      // The reason is the cluster's own affair: the broker's log has it.
      () => exchange.respond(503, JSON_HEADERS, JSON.stringify(unhealthy('the cluster can not be reached'))),
    );
  }
}

function unhealthy(reason: string): object {
  return { health: 'false', reason };
}

/** `3.5.0` of `3.5.16`: what the cluster's members have in common. */
function minorOf(version: string): string {
  return `${version.split('.', 2).join('.')}.0`;
}

/** As etcd's gateway hands it on; it wants no "Bearer", and many clients send it all the same. */
function tokenOf(request: RequestHead): string | undefined {
  const token = fieldOf(request, 'grpc-metadata-token') ?? fieldOf(request, 'authorization');
  return token?.replace(/^bearer +/i, '');
}

function definitionOf(path: string): CallDefinition | undefined {
  const [, service = '', call = ''] = path.split('/');
  const calls: { readonly [call: string]: CallDefinition } = services[service as keyof typeof services];
  return calls[call];
}

function refuse(
  exchange: PlainExchange,
  code: number,
  message: string,
  status = httpStatusOf(code),
  headers: Readonly<Record<string, string>> = {},
): void {
  exchange.respond(status, { ...headers, ...JSON_HEADERS }, errorBody(code, message));
}
