// Not the whole of etcd3: it loads a gRPC of its own, which takes half a second.
import {
  AuthClient,
  ClusterClient,
  type ICallable,
  type IRangeRequest,
  KVClient,
  LeaseClient,
  MaintenanceClient,
} from 'etcd3/lib/rpc.js';
import { sleep } from '../timing.js';
import { AccessTurns } from './access-turns.js';
import { callNamed, type EtcdCall, isSafeToRepeat } from './calls.js';
import { type Deadline, endOf, readyBefore, within } from './deadline.js';
import { type ClusterAddress, Endpoints, type Place } from './endpoints.js';
import { EtcdError, namedError } from './errors.js';
import { RangePage } from './messages/range-page.js';
import { SignIn } from './sign-in.js';
import { openStream, type Stream, type StreamHandlers } from './stream.js';

export { type Deadline, within } from './deadline.js';
export type { ClusterAddress } from './endpoints.js';
export type { Stream, StreamHandlers } from './stream.js';

/** The longest that one attempt of a call may take, in milliseconds. */
export const ATTEMPT_TIMEOUT_MS = 4_000;
/** The longest that a call with all its attempts may take, in milliseconds. */
export const CALL_TIMEOUT_MS = 8_000;
/**
 * An endpoint that has left a call unanswered for so many milliseconds is tried last from then on: the call waits on,
 * but others, the signs of life among them, do not join it at a member that may hang.
 */
const DOUBT_MS = 1_500;
const PAUSE_MS = 20;
/** How long a member may take to catch up with the others, in milliseconds. */
const CATCH_UP_MS = 1_000;

/**
 * Is told of each attempt of a call: the method, how it ended (`ok` or an error's kind), how long it took, in seconds,
 * and its error.
 */
export type CallObserver = (method: string, outcome: string, seconds: number, error?: EtcdError) => void;

const RANGE_PAGE: EtcdCall = {
  ...callNamed('KV', 'range'),
  response: { decode: (bytes) => new RangePage(bytes) },
};

interface Repetition {
  /** When all attempts together are over, on the clock of `performance.now()`. */
  endAt: number;
  signsIn: boolean;
  /** How long the first attempt may take, in milliseconds, where that is less than the others. */
  firstMs?: number;
}

type Service = Parameters<ICallable<unknown>['exec']>[0];

/**
 * Calls to one cluster, through the typed clients of `etcd3` on a transport of our own.
 *
 * Each call has a deadline. It goes to the next endpoint when one does not answer, signs in again when the token has
 * run out, and is repeated when etcd refused it for a stale auth revision. It is repeated after a lost answer too, see
 * {@link isSafeToRepeat}: callers send puts, deletions and transactions that may be applied twice.
 */
export class EtcdClient implements ICallable<never> {
  readonly kv = new KVClient(this);
  readonly lease = new LeaseClient(this);
  readonly auth = new AuthClient(this);
  readonly maintenance = new MaintenanceClient(this);
  readonly cluster = new ClusterClient(this);
  readonly callOptionsFactory = undefined;

  /** Where calls go; for who carries calls as bytes and keeps its own tokens. */
  readonly endpoints: Endpoints;
  readonly #signIn: SignIn;
  readonly #observe: CallObserver;
  readonly #turns = new AccessTurns();
  #isClosed = false;

  constructor(
    readonly address: ClusterAddress,
    observe: CallObserver = () => undefined,
  ) {
    const { username, password } = address;
    this.endpoints = new Endpoints(address);
    this.#signIn =
      username === undefined || password === undefined
        ? new SignIn()
        : new SignIn(() => this.#authenticate({ name: username, password: password.reveal() }));
    this.#observe = observe;
  }

  /**
   * Makes one call.
   * @param options bound all attempts together, see {@link within}
   * @throws EtcdError
   */
  exec<T>(service: Service, method: string, request: unknown, options?: Partial<Deadline>): Promise<T> {
    const endAt =
      options?.deadline === undefined ? performance.now() + CALL_TIMEOUT_MS : endOf(options as Deadline);
    return this.#repeat<T>(callNamed(service, method), request, { endAt, signsIn: true });
  }

  /**
   * Reads a range of many keys.
   * @throws EtcdError
   */
  rangePage(request: IRangeRequest): Promise<RangePage> {
    const endAt = performance.now() + CALL_TIMEOUT_MS;
    return this.#repeat<RangePage>(RANGE_PAGE, request, { endAt, signsIn: true });
  }

  /**
   * Makes one call without signing in, for looking at a cluster that is not known yet.
   * @throws EtcdError
   */
  unauthenticated<T>(service: Service, method: string, request: unknown, timeoutMs: number): Promise<T> {
    const endAt = performance.now() + timeoutMs;
    return this.#repeat<T>(callNamed(service, method), request, { endAt, signsIn: false });
  }

  /**
   * Opens a stream, for calls that are more than a question and an answer. Streams are not repeated.
   * @param path e.g. `/etcdserverpb.Watch/Watch`
   * @throws EtcdError when it can't be opened; what comes later is told to `onEnd`
   */
  async stream<Request extends object, Response>(
    path: string,
    handlers: StreamHandlers<Response>,
    options: Deadline = within(ATTEMPT_TIMEOUT_MS),
  ): Promise<Stream<Request>> {
    const endAt = endOf(options);
    try {
      const token = await this.#token(endAt);
      const place = await this.#place(endAt);
      return openStream(place, path, token, {
        ...handlers,
        onEnd: (error) => {
          if (error !== undefined) {
            this.#judge(place, token, error);
          }
          handlers.onEnd(error);
        },
      });
    } catch (error) {
      throw namedError(error);
    }
  }

  /** etcd3's clients ask for this when they open a stream; see {@link stream}. */
  withConnection(): Promise<never> {
    return Promise.reject(new TypeError('Streams are opened with stream()'));
  }

  markFailed(): void {}

  /** The token that this client signed in with; undefined when it needs none. */
  async token(): Promise<string | undefined> {
    return this.#token(performance.now() + CALL_TIMEOUT_MS);
  }

  /**
   * Waits until every member that answers has caught up with all that was changed so far, so that a user who was just
   * made or removed is known, or unknown, wherever an application connects. A member that hangs is not waited for
   * longer than {@link CATCH_UP_MS}.
   */
  async settle(): Promise<void> {
    const members = this.endpoints.all.filter(({ isSuspect }) => !isSuspect);
    if (this.endpoints.all.length === 1 || members.length === 0) {
      return;
    }
    const endAt = performance.now() + CATCH_UP_MS;
    const token = await this.#token(endAt);
    // A member answers a linearizable read only when it has applied what was decided before.
    const call = callNamed('KV', 'range');
    const read = call.request.encode({ key: Buffer.from('/'), count_only: true });
    await Promise.all(
      members.map(async (endpoint) => {
        try {
          const connection = await readyBefore(endAt, endpoint.connect());
          await this.#attempt(call, read, { endpoint, connection }, token, endAt);
        } catch (error) {
          const named = namedError(error);
          if (!(named instanceof EtcdError)) {
            throw error;
          }
          if (named.kind === 'timeout') {
            endpoint.doubt();
          }
        }
      }),
    );
  }

  /** Signs in anew with the next call. Needed after authentication was turned on. */
  forgetToken(): void {
    this.#signIn.forget();
  }

  close(): void {
    this.#isClosed = true;
    this.endpoints.close();
  }

  async #repeat<T>(call: EtcdCall, request: unknown, { endAt, signsIn, firstMs }: Repetition): Promise<T> {
    const message = call.request.encode(request as object);
    const isSafe = isSafeToRepeat(call.method, request);
    for (let attempt = 0; ; attempt += 1) {
      const startedAt = performance.now();
      const timeoutMs = (attempt === 0 ? firstMs : undefined) ?? ATTEMPT_TIMEOUT_MS;
      try {
        const token = signsIn ? await this.#token(endAt) : undefined;
        const place = this.endpoints.ready ?? (await this.#place(endAt));
        const response = await this.#turns.take(call.method, () =>
          this.#attempt(call, message, place, token, endAt, timeoutMs),
        );
        this.#observe(call.method, 'ok', (performance.now() - startedAt) / 1_000);
        return response as T;
      } catch (thrown) {
        const error = namedError(thrown);
        if (!(error instanceof EtcdError)) {
          throw thrown;
        }
        this.#observe(call.method, error.kind, (performance.now() - startedAt) / 1_000, error);
        const isRepeatable =
          error.isTransient && (isSafe || !error.mayBeApplied) && (signsIn || error.kind !== 'signed-out');
        const pause =
          error.kind === 'stale-auth' ? Math.random() * Math.min(attempt, 10) : PAUSE_MS * (attempt + 1);
        if (!isRepeatable || this.#isClosed || performance.now() + pause >= endAt) {
          throw error;
        }
        if (error.kind !== 'stale-auth' || attempt > 0) {
          await sleep(pause);
        }
      }
    }
  }

  async #attempt(
    call: EtcdCall,
    message: Uint8Array,
    place: Place,
    token: string | undefined,
    endAt: number,
    timeoutMs = ATTEMPT_TIMEOUT_MS,
  ): Promise<unknown> {
    const { endpoint, connection } = place;
    const deadline = Math.min(endAt, performance.now() + timeoutMs);
    const doubt = setTimeout(() => endpoint.doubt(), DOUBT_MS);
    try {
      const answer = await connection.unary(call.path, message, { token, deadline });
      endpoint.answered();
      return read(call, answer);
    } catch (thrown) {
      const error = namedError(thrown);
      if (error instanceof EtcdError) {
        this.#judge(place, token, error);
      }
      throw error;
    } finally {
      clearTimeout(doubt);
    }
  }

  /** What an error tells of the endpoint and of the token. */
  #judge({ endpoint }: Place, token: string | undefined, error: EtcdError): void {
    if (error.kind === 'signed-out') {
      this.#signIn.refused(token);
    } else if (error.kind === 'timeout' || (error.kind === 'unavailable' && error.delivery === 'answered')) {
      endpoint.doubt();
    } else if (error.delivery === 'answered') {
      endpoint.answered();
    }
  }

  /** Fails as etcd's own calls do when no endpoint can be connected in time. */
  async #place(endAt: number): Promise<Place> {
    if (this.#isClosed) {
      throw new EtcdError('other', 'the connection to etcd is closed', { delivery: 'not sent' });
    }
    return readyBefore(endAt, this.endpoints.place());
  }

  #token(endAt: number): Promise<string | undefined> | string | undefined {
    const { known } = this.#signIn;
    return known === undefined ? readyBefore(endAt, this.#signIn.token().catch(notSent)) : known.token;
  }

  async #authenticate(request: { name: string; password: string }): Promise<string | undefined> {
    try {
      const { token } = await this.#repeat<{ token: string }>(callNamed('Auth', 'authenticate'), request, {
        endAt: performance.now() + CALL_TIMEOUT_MS,
        signsIn: false,
        // All calls wait for a sign-in, so it does not wait itself for a member that may hang.
        ...(this.endpoints.all.length > 1 ? { firstMs: DOUBT_MS } : {}),
      });
      return token;
    } catch (error) {
      // Without authentication a token is neither to be had nor needed; the start-up checks say what that means.
      if (error instanceof EtcdError && error.kind === 'auth-not-enabled') {
        return undefined;
      }
      throw error;
    }
  }
}

/** A call that failed because the sign-in before it failed. */
function notSent(error: unknown): never {
  throw error instanceof EtcdError
    ? new EtcdError(error.kind, error.message, { cause: error, delivery: 'not sent' })
    : error;
}

function read({ method, response }: EtcdCall, answer: Uint8Array): unknown {
  try {
    return response.decode(answer);
  } catch (cause) {
    throw new EtcdError('other', `the answer to ${method} can not be read`, { cause });
  }
}
