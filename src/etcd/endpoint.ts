import { Connection, type ConnectionTarget } from './transport/connection.js';
import { Status, TransportError } from './transport/errors.js';

/** How long an endpoint may take to be connected, in milliseconds. */
const CONNECT_TIMEOUT_MS = 4_000;
/** A silent connection with calls under way is pinged after this, and given up if that is not answered either. */
const PING_INTERVAL_MS = 1_500;
const PING_TIMEOUT_MS = 2_500;
/** The longest message that is taken from etcd; a page of a range is much shorter. */
export const MAX_MESSAGE_BYTES = 256 << 20;
/** Between two attempts to connect, in milliseconds; doubled each time, and never the same twice. */
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 1_000;
/** For how long an endpoint that left a call unanswered is tried last, in milliseconds; doubled each time. */
const SUSPECT_MS = 2_000;
const LONGEST_SUSPECT_MS = 30_000;

type State =
  | { name: 'idle' }
  | { name: 'connecting'; opening: Promise<Connection>; cancel: AbortController }
  | { name: 'open'; opening: Promise<Connection>; connection: Connection }
  | { name: 'waiting'; timer: NodeJS.Timeout; reason: TransportError }
  | { name: 'closed' };

/**
 * One endpoint of a cluster and the connection to it. It connects when it is first needed. From then on it stays
 * connected: when the connection is lost, it connects again in the background, at growing intervals.
 */
export class Endpoint {
  #state: State = { name: 'idle' };
  #pauseMs = FIRST_PAUSE_MS;
  /** Whether the last attempt to connect failed, or the connection was lost. */
  #isDown = false;
  #suspectUntil = 0;
  #suspectMs = SUSPECT_MS;
  /** Those that are not closed yet. */
  readonly #connections = new Set<Connection>();

  /** @param onOpen is called when a connection is ready */
  constructor(
    readonly target: ConnectionTarget,
    readonly onOpen: (endpoint: Endpoint, connection: Connection) => void,
    readonly maxMessageBytes = MAX_MESSAGE_BYTES,
  ) {}

  /** The connection, if there is one that takes calls. */
  get connection(): Connection | undefined {
    return this.#state.name === 'open' && this.#state.connection.state === 'open'
      ? this.#state.connection
      : undefined;
  }

  /** Whether others are to be tried first. */
  get isSuspect(): boolean {
    return this.#isDown || performance.now() < this.#suspectUntil;
  }

  /** Until when it is suspect on the monotonic clock, as far as that is known. */
  get suspectUntil(): number {
    return this.#suspectUntil;
  }

  /**
   * Connects, unless it is connected. Between two attempts in the background it fails at once.
   * @throws TransportError
   */
  connect(): Promise<Connection> {
    const state = this.#state;
    switch (state.name) {
      case 'open':
        // One that etcd is about to close serves the calls that it has; new ones go over another.
        return state.connection.state === 'open' ? state.opening : this.#open();
      case 'connecting':
        return state.opening;
      case 'waiting':
        return Promise.reject(state.reason);
      case 'closed':
        return Promise.reject(lost(this.target, 'the client is closed'));
      case 'idle':
        return this.#open();
    }
  }

  /** A call was left unanswered, or etcd says that this member can't serve now. */
  doubt(): void {
    const now = performance.now();
    // Calls that were under way together fail together; that counts once.
    if (now >= this.#suspectUntil) {
      this.#suspectUntil = now + this.#suspectMs;
      this.#suspectMs = Math.min(this.#suspectMs * 2, LONGEST_SUSPECT_MS);
    }
  }

  answered(): void {
    this.#suspectUntil = 0;
    this.#suspectMs = SUSPECT_MS;
  }

  close(): void {
    if (this.#state.name === 'waiting') {
      clearTimeout(this.#state.timer);
    } else if (this.#state.name === 'connecting') {
      this.#state.cancel.abort();
    }
    this.#state = { name: 'closed' };
    for (const connection of this.#connections) {
      connection.close();
    }
  }

  #open(): Promise<Connection> {
    const cancel = new AbortController();
    let opened: Connection | undefined;
    const opening: Promise<Connection> = Connection.open(this.target, {
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      pingIntervalMs: PING_INTERVAL_MS,
      pingTimeoutMs: PING_TIMEOUT_MS,
      maxMessageBytes: this.maxMessageBytes,
      signal: cancel.signal,
      onClose: (reason) => {
        if (opened !== undefined) {
          this.#connections.delete(opened);
        }
        this.#lost(opening, reason);
      },
    }).then(
      (connection) => {
        opened = connection;
        return this.#opened(opening, connection);
      },
      (error: Error) => {
        this.#lost(opening, error);
        throw error;
      },
    );
    this.#state = { name: 'connecting', opening, cancel };
    opening.catch(() => undefined); // in the background nobody waits for it; `waiting` keeps the reason
    return opening;
  }

  #opened(opening: Promise<Connection>, connection: Connection): Connection {
    if (this.#state.name === 'closed') {
      connection.close();
      throw lost(this.target, 'the client is closed');
    }
    this.#connections.add(connection);
    this.#state = { name: 'open', opening, connection };
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#isDown = false;
    this.answered();
    this.onOpen(this, connection);
    return connection;
  }

  #lost(opening: Promise<Connection>, reason: Error | undefined): void {
    const state = this.#state;
    if ((state.name !== 'open' && state.name !== 'connecting') || state.opening !== opening) {
      return;
    }
    this.#isDown = true;
    const timer = setTimeout(
      () => {
        this.#open();
      },
      this.#pauseMs * (0.5 + Math.random() / 2),
    );
    timer.unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    this.#state = {
      name: 'waiting',
      timer,
      reason: lost(this.target, reason?.message ?? 'the connection was closed'),
    };
  }
}

function lost({ host, port }: ConnectionTarget, text: string): TransportError {
  const where = `${host}:${port}: `;
  // What comes from the transport may name the endpoint already.
  return new TransportError(Status.UNAVAILABLE, text.startsWith(where) ? text : where + text, 'not sent');
}
