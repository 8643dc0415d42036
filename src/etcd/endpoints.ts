import type { Secret } from '../credentials/secret.js';
import { Endpoint } from './endpoint.js';
import type { Connection, ConnectionTarget } from './transport/connection.js';

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
  /** The longest message that is taken from it, in bytes; 256 MiB where not given. */
  maxMessageBytes?: number | undefined;
}

/** An endpoint with its connection: where a call goes. */
export interface Place {
  endpoint: Endpoint;
  connection: Connection;
}

/** When an endpoint is not connected after this time, the next one is tried too, in milliseconds. */
const NEXT_AFTER_MS = 250;

/**
 * The endpoints of one cluster. It stays with one of them while that answers, so a healthy cluster costs one
 * connection, and goes to the next at once when it does not: no call ever waits for an endpoint that hangs while
 * another one answers.
 */
export class Endpoints {
  readonly all: readonly Endpoint[];
  #preferred = 0;
  #connecting: Attempt | undefined;

  constructor(address: ClusterAddress) {
    this.all = address.endpoints.map(
      (url) =>
        new Endpoint(
          targetOf(url, address),
          (endpoint, connection) => this.#opened(endpoint, connection),
          address.maxMessageBytes,
        ),
    );
  }

  /** A connected endpoint that nothing speaks against, the one that was used last if possible. */
  get ready(): Place | undefined {
    for (let offset = 0; offset < this.all.length; offset += 1) {
      const index = (this.#preferred + offset) % this.all.length;
      const endpoint = this.all[index] as Endpoint;
      const { connection } = endpoint;
      if (connection !== undefined && !endpoint.isSuspect) {
        this.#preferred = index;
        return { endpoint, connection };
      }
    }
    return undefined;
  }

  /**
   * A connected endpoint, the best there is. Connects as needed: one endpoint after the other, the next when one fails
   * or takes long, and whichever is connected first is taken.
   * @throws TransportError when none can be connected
   */
  async place(): Promise<Place> {
    const { ready } = this;
    if (ready !== undefined) {
      return ready;
    }
    if (this.#connecting === undefined) {
      const attempt = new Attempt(this.#inOrder());
      this.#connecting = attempt;
      const over = () => {
        this.#connecting = undefined;
      };
      attempt.outcome.then(over, over);
    }
    const place = await this.#connecting.outcome;
    this.#preferred = this.all.indexOf(place.endpoint);
    return place;
  }

  close(): void {
    for (const endpoint of this.all) {
      endpoint.close();
    }
  }

  #opened(endpoint: Endpoint, connection: Connection): void {
    this.#connecting?.succeed({ endpoint, connection });
  }

  /** Those that nothing speaks against first; of the others the connected ones first, by when they were suspected. */
  #inOrder(): Endpoint[] {
    const turn = [...this.all.slice(this.#preferred), ...this.all.slice(0, this.#preferred)];
    const suspects = turn.filter(({ isSuspect }) => isSuspect);
    suspects.sort((a, b) => isDown(a) - isDown(b) || a.suspectUntil - b.suspectUntil);
    return [...turn.filter((endpoint) => !suspects.includes(endpoint)), ...suspects];
  }
}

/** Connects endpoints in an order until one is connected. */
class Attempt {
  readonly outcome: Promise<Place>;
  #resolve!: (place: Place) => void;
  #reject!: (error: unknown) => void;
  #timer: NodeJS.Timeout | undefined;
  #pending = 0;
  #firstError: unknown;
  #isOver = false;

  constructor(readonly left: Endpoint[]) {
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#next();
  }

  succeed(place: Place): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#resolve(place);
  }

  #next(): void {
    clearTimeout(this.#timer);
    const endpoint = this.left.shift();
    if (this.#isOver) {
      return;
    }
    if (endpoint === undefined) {
      if (this.#pending === 0) {
        this.#isOver = true;
        this.#reject(this.#firstError);
      }
      return;
    }
    this.#pending += 1;
    this.#timer = setTimeout(() => this.#next(), NEXT_AFTER_MS);
    endpoint.connect().then(
      (connection) => this.succeed({ endpoint, connection }),
      (error: unknown) => {
        this.#pending -= 1;
        this.#firstError ??= error;
        this.#next();
      },
    );
  }
}

function isDown({ connection }: Endpoint): number {
  return connection === undefined ? 1 : 0;
}

/** Where an endpoint of the cluster is and how to reach it. @throws TypeError for what is no endpoint */
export function targetOf(url: string, address: ClusterAddress): ConnectionTarget {
  // Not URL.host, which leaves a scheme's usual port out.
  const [, scheme, host = '', port] = /^(https?):\/\/(.*):(\d+)$/.exec(url) ?? [];
  if (scheme === undefined) {
    throw new TypeError('An endpoint of etcd has the form https://host:port');
  }
  const target = { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) };
  return scheme === 'http' ? target : { ...target, tls: tlsOf(address) };
}

function tlsOf({
  caCertificate,
  clientCertificate,
  clientKey,
}: ClusterAddress): NonNullable<ConnectionTarget['tls']> {
  return {
    ...(caCertificate === undefined ? {} : { ca: caCertificate }),
    ...(clientCertificate === undefined ? {} : { cert: clientCertificate }),
    ...(clientKey === undefined ? {} : { key: clientKey.reveal() }),
  };
}
