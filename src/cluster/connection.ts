import { createRequire } from 'node:module';
import path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { AuthClient, ClusterClient, type ICallable, KVClient, LeaseClient, MaintenanceClient } from 'etcd3';
import type { Secret } from '../credentials/secret.js';
import { EtcdError, toEtcdError } from './etcd-errors.js';

/** How to reach a cluster and sign in to it. */
export interface ClusterAddress {
  /** `https://host:port` or, on loopback only, `http://host:port`; all of one scheme. */
  endpoints: readonly string[];
  /** PEM; the system's authorities when it is left out. */
  caCertificate?: string | undefined;
  clientCertificate?: string | undefined;
  clientKey?: Secret | undefined;
  username?: string | undefined;
  password?: Secret | undefined;
}

/** Is told of each call to etcd: how it ended (`ok` or an error's kind) and how long it took, in seconds. */
export type CallObserver = (method: string, outcome: string, seconds: number) => void;

/** The longest that one attempt of a call may take, in milliseconds. */
export const ATTEMPT_TIMEOUT_MS = 4_000;
/** The longest that a call with all its attempts may take, in milliseconds. */
export const CALL_TIMEOUT_MS = 8_000;
/**
 * An endpoint that has left a call unanswered for so many milliseconds is tried last from then on: the call waits on,
 * but others, the signs of life among them, do not join it at a member that may hang.
 */
const DOUBT_MS = 1_500;
/** For how long an endpoint that failed is tried last, in milliseconds; doubled each time it fails again. */
const SUSPECT_MS = 2_000;
const LONGEST_SUSPECT_MS = 30_000;
const PAUSE_MS = 20;
/** How long a member may take to catch up with the others, in milliseconds. */
const CATCH_UP_MS = 1_000;
const SLOW_PAUSE_MS = 200;

/**
 * A deadline for a call, so many milliseconds from now, as the calls of a {@link Connection} take it. It counts by the
 * monotonic clock, so a wall clock that jumps neither cuts calls short nor lets them hang.
 */
export function within(milliseconds: number): { deadline: number } {
  return { deadline: performance.timeOrigin + performance.now() + milliseconds };
}

type Service = Parameters<ICallable<unknown>['exec']>[0];
type UnaryMethod = (
  payload: unknown,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  callback: (error: grpc.ServiceError | null, response: unknown) => void,
) => grpc.ClientUnaryCall;

const services = loadServices();

/** etcd3 ships etcd's protocol definition; its clients below expect these very options. */
function loadServices(): { [name: string]: grpc.ServiceClientConstructor } {
  const entry = createRequire(import.meta.url).resolve('etcd3');
  const definition = loadSync(path.join(path.dirname(entry), '..', 'proto', 'rpc.proto'), {
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  return grpc.loadPackageDefinition(definition).etcdserverpb as never;
}

class Endpoint {
  readonly host: string;
  suspectUntil = 0;
  #suspectMs = SUSPECT_MS;
  readonly #clients = new Map<Service, grpc.Client>();

  constructor(
    url: string,
    readonly credentials: grpc.ChannelCredentials,
  ) {
    // Not URL.host, which leaves a scheme's usual port out.
    this.host = url.replace(/^https?:\/\//, '');
  }

  client(service: Service): grpc.Client {
    let client = this.#clients.get(service);
    if (client === undefined) {
      const Constructor = services[service] as grpc.ServiceClientConstructor;
      // All services of one endpoint share one HTTP/2 connection through grpc-js's global pool of subchannels.
      client = new Constructor(this.host, this.credentials, {
        'grpc.max_receive_message_length': -1,
        // exec repeats what may be repeated; grpc-js would only keep every message for a repetition that never comes.
        'grpc.enable_retries': 0,
        'grpc.enable_channelz': 0,
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 1_000,
      });
      this.#clients.set(service, client);
    }
    return client;
  }

  failed(): void {
    const now = performance.now();
    // Calls that were under way together fail together; that counts once.
    if (now >= this.suspectUntil) {
      this.suspectUntil = now + this.#suspectMs;
      this.#suspectMs = Math.min(this.#suspectMs * 2, LONGEST_SUSPECT_MS);
    }
  }

  answered(): void {
    this.suspectUntil = 0;
    this.#suspectMs = SUSPECT_MS;
  }

  close(): void {
    for (const client of this.#clients.values()) {
      client.close();
    }
    this.#clients.clear();
  }
}

/**
 * Calls to one cluster, through the typed clients of `etcd3` on a transport of its own.
 *
 * etcd3's own pool opens a circuit breaker on errors that etcd gives in its ordinary course, drops connections
 * that others still use and does not know "revision of auth store is old". This one gives each call a deadline,
 * goes to the next endpoint when one does not answer, signs in again when the token has run out and repeats what
 * etcd refused for a stale auth revision.
 *
 * A call is repeated after a lost answer too, so callers only send what may be applied twice: reads,
 * transactions that compare revisions, and access-control calls that tolerate "already exists" and "not found".
 */
export class Connection implements ICallable<Endpoint> {
  readonly kv = new KVClient(this);
  readonly lease = new LeaseClient(this);
  readonly auth = new AuthClient(this);
  readonly maintenance = new MaintenanceClient(this);
  readonly cluster = new ClusterClient(this);
  readonly callOptionsFactory = undefined;

  readonly #endpoints: readonly Endpoint[];
  readonly #observe: CallObserver;
  #preferred = 0;
  #token: Promise<grpc.Metadata> | undefined;
  #closed = false;

  constructor(
    readonly address: ClusterAddress,
    observe: CallObserver = () => undefined,
  ) {
    const credentials = channelCredentials(address);
    this.#endpoints = address.endpoints.map((url) => new Endpoint(url, credentials));
    this.#observe = observe;
  }

  /** Makes one call. `options`, if given, come from {@link within} and bound all attempts together. */
  async exec<T>(service: Service, method: string, payload: unknown, options?: grpc.CallOptions): Promise<T> {
    const deadline = options?.deadline ?? within(CALL_TIMEOUT_MS).deadline;
    const endAt = Number(deadline) - performance.timeOrigin;
    for (let attempt = 0; ; attempt += 1) {
      const startedAt = performance.now();
      try {
        const response = await this.#attempt<T>(service, method, payload, endAt);
        this.#observe(method, 'ok', (performance.now() - startedAt) / 1_000);
        return response;
      } catch (error) {
        if (!(error instanceof EtcdError)) {
          throw error;
        }
        this.#observe(method, error.kind, (performance.now() - startedAt) / 1_000);
        const pause =
          error.kind === 'stale-auth' ? Math.random() * Math.min(attempt, 10) : PAUSE_MS * (attempt + 1);
        if (!error.isTransient || this.#closed || performance.now() + pause >= endAt) {
          throw error;
        }
        if (error.kind !== 'stale-auth' || attempt > 0) {
          await new Promise((resolve) => setTimeout(resolve, pause));
        }
      }
    }
  }

  /** Gives a stream's maker the endpoint to use; streams are not repeated. */
  async withConnection<R>(
    service: Service,
    use: (place: { resource: Endpoint; client: grpc.Client; metadata: grpc.Metadata }) => Promise<R> | R,
  ): Promise<R> {
    const endpoint = this.#choose();
    const metadata = await this.#signIn(endpoint, performance.now() + ATTEMPT_TIMEOUT_MS);
    return use({ resource: endpoint, client: endpoint.client(service), metadata });
  }

  markFailed(endpoint: Endpoint): void {
    endpoint.failed();
  }

  /** Makes one call without signing in, for looking at a cluster that is not known yet. */
  async unauthenticated<T>(
    service: Service,
    method: string,
    payload: unknown,
    timeoutMs: number,
  ): Promise<T> {
    const endAt = performance.now() + timeoutMs;
    for (;;) {
      const endpoint = this.#choose();
      try {
        return (await this.#unary(endpoint, service, method, payload, new grpc.Metadata(), endAt)) as T;
      } catch (error) {
        const isLost =
          error instanceof EtcdError && (error.kind === 'unavailable' || error.kind === 'timeout');
        if (!isLost || performance.now() + SLOW_PAUSE_MS >= endAt) {
          throw error;
        }
        this.markFailed(endpoint);
        await new Promise((resolve) => setTimeout(resolve, SLOW_PAUSE_MS));
      }
    }
  }

  /** The token that this connection signed in with; undefined when it needs none. */
  async token(): Promise<string | undefined> {
    const metadata = await this.#signIn(this.#choose(), performance.now() + CALL_TIMEOUT_MS);
    return metadata.get('token')[0]?.toString();
  }

  /**
   * Waits until every member that answers has caught up with all that was changed so far, so that a user who was just
   * made or removed is known, or unknown, wherever an application connects. A member that hangs is not waited for
   * longer than {@link CATCH_UP_MS}.
   */
  async settle(): Promise<void> {
    const now = performance.now();
    const members = this.#endpoints.filter(({ suspectUntil }) => suspectUntil <= now);
    if (this.#endpoints.length === 1 || members.length === 0) {
      return;
    }
    const metadata = await this.#signIn(members[0] as Endpoint, now + CATCH_UP_MS);
    // A member answers a linearizable read only when it has applied what was decided before.
    const read = { key: Buffer.from('/'), count_only: true };
    await Promise.all(
      members.map(async (member) => {
        try {
          await this.#unary(member, 'KV', 'range', read, metadata, now + CATCH_UP_MS);
        } catch (error) {
          if (!(error instanceof EtcdError)) {
            throw error;
          }
          if (error.kind === 'unavailable' || error.kind === 'timeout') {
            this.markFailed(member);
          }
        }
      }),
    );
  }

  /** Signs in anew with the next call. Needed after authentication was turned on. */
  forgetToken(): void {
    this.#token = undefined;
  }

  close(): void {
    this.#closed = true;
    for (const endpoint of this.#endpoints) {
      endpoint.close();
    }
  }

  async #attempt<T>(service: Service, method: string, payload: unknown, endAt: number): Promise<T> {
    const endpoint = this.#choose();
    const metadata = await this.#signIn(endpoint, endAt);
    const token = this.#token;
    try {
      return (await this.#unary(endpoint, service, method, payload, metadata, endAt)) as T;
    } catch (error) {
      if (error instanceof EtcdError) {
        // Many calls fail together when a token runs out; only the first of them is to sign in again.
        if (error.kind === 'signed-out' && this.#token === token) {
          this.forgetToken();
        } else if (error.kind === 'unavailable' || error.kind === 'timeout') {
          this.markFailed(endpoint);
        }
      }
      throw error;
    }
  }

  #unary(
    endpoint: Endpoint,
    service: Service,
    method: string,
    payload: unknown,
    metadata: grpc.Metadata,
    endAt: number,
  ): Promise<unknown> {
    if (this.#closed) {
      return Promise.reject(new EtcdError('other', 'the connection to etcd is closed'));
    }
    const timeout = Math.max(1, Math.min(ATTEMPT_TIMEOUT_MS, endAt - performance.now()));
    return new Promise((resolve, reject) => {
      const client = endpoint.client(service) as unknown as { [method: string]: UnaryMethod };
      const options = { deadline: Date.now() + timeout };
      const doubt = setTimeout(() => this.markFailed(endpoint), DOUBT_MS);
      client[method]?.(payload, metadata, options, (error, response) => {
        clearTimeout(doubt);
        if (error) {
          reject(toEtcdError(error));
        } else {
          endpoint.answered();
          resolve(response);
        }
      });
    });
  }

  /** Stays with one endpoint while it answers, so that a healthy cluster costs one connection. */
  #choose(): Endpoint {
    const now = performance.now();
    for (let offset = 0; offset < this.#endpoints.length; offset += 1) {
      const index = (this.#preferred + offset) % this.#endpoints.length;
      const endpoint = this.#endpoints[index] as Endpoint;
      if (endpoint.suspectUntil <= now) {
        this.#preferred = index;
        return endpoint;
      }
    }
    // All failed lately: take turns.
    this.#preferred = (this.#preferred + 1) % this.#endpoints.length;
    return this.#endpoints[this.#preferred] as Endpoint;
  }

  async #signIn(endpoint: Endpoint, endAt: number): Promise<grpc.Metadata> {
    const { username, password } = this.address;
    if (username === undefined || password === undefined) {
      return new grpc.Metadata();
    }
    this.#token ??= this.#authenticate(endpoint, username, password, endAt).catch((error: unknown) => {
      this.#token = undefined;
      if (error instanceof EtcdError && (error.kind === 'unavailable' || error.kind === 'timeout')) {
        this.markFailed(endpoint);
      }
      throw error;
    });
    return this.#token;
  }

  async #authenticate(
    endpoint: Endpoint,
    name: string,
    password: Secret,
    endAt: number,
  ): Promise<grpc.Metadata> {
    const metadata = new grpc.Metadata();
    const request = { name, password: password.reveal() };
    try {
      const response = await this.#unary(endpoint, 'Auth', 'authenticate', request, metadata, endAt);
      metadata.set('token', (response as { token: string }).token);
    } catch (error) {
      // Without authentication a token is neither to be had nor needed; the start-up checks say what that means.
      if (!(error instanceof EtcdError && error.kind === 'auth-not-enabled')) {
        throw error;
      }
    }
    return metadata;
  }
}

function channelCredentials(address: ClusterAddress): grpc.ChannelCredentials {
  if (address.endpoints.every((url) => url.startsWith('http://'))) {
    return grpc.credentials.createInsecure();
  }
  const pem = (text: string | undefined) => (text === undefined ? null : Buffer.from(text, 'utf8'));
  return grpc.credentials.createSsl(
    pem(address.caCertificate),
    pem(address.clientKey?.reveal()),
    pem(address.clientCertificate),
  );
}
