import { setTimeout as sleep } from 'node:timers/promises';
import { Secret } from '../../../src/credentials/secret.js';
import { EtcdClient, within } from '../../../src/etcd/client.js';
import { EtcdError } from '../../../src/etcd/errors.js';
import type { Credentials } from '../../support/tenant.js';
import { faultsOf, type Seen } from './history.js';

const PAUSE_MS = 5;
const CALL_MS = 8_000;
/** Longer than any fault lasts. */
const GIVE_UP_MS = 30_000;
const LEASE_TTL = 10;
const KEPT_ALIVE_EVERY_MS = 1_000;
const LEASED = Buffer.from('leased');

interface WatchAnswer {
  canceled: boolean;
  compact_revision: string;
  events: { kv: { value: Buffer; mod_revision: string } }[];
}

/**
 * A tenant's applications, which use two portals: a writer and readers of one key, a watcher of it, and a lease that
 * is kept alive. What they saw is checked when they have stopped.
 */
export class TenantLoad {
  readonly history: Seen[] = [];
  readonly #begun: number[] = [];
  readonly #watched: number[] = [];
  readonly #clients: EtcdClient[] = [];
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[] = [];
  readonly #key: Buffer;
  /** The longest that any call took, in milliseconds. */
  longest = 0;

  constructor(
    readonly name: string,
    readonly credentials: Credentials,
  ) {
    this.#key = Buffer.from(`register/${name}`);
  }

  start(): void {
    this.#running.push(this.#write(), this.#read(), this.#read(), this.#watch(), this.#keepAlive());
  }

  /** Stops the load, waits until the watcher has heard of everything. @returns what must not be, a line each */
  async end(): Promise<string[]> {
    this.#stop.abort();
    const ended = await Promise.allSettled(this.#running);
    const faults = ended.flatMap((one) => (one.status === 'rejected' ? [`${this.name}: ${one.reason}`] : []));
    for (const client of this.#clients) {
      client.close();
    }
    const key = String(this.#key);
    faults.push(...faultsOf(this.history, new Map([[key, this.#begun]])));
    const expected = Array.from({ length: this.#watched.length }, (_, index) => index + 1);
    if (this.#watched.join() !== expected.join()) {
      faults.push(`${key}: the watch told ${this.#watched.join(' ').slice(0, 500)}`);
    }
    return faults;
  }

  #client(): EtcdClient {
    const { uri, uri_direct_1, ca_certificate_base64, username, password } = this.credentials;
    const client = new EtcdClient({
      endpoints: [uri, uri_direct_1 as string].map((each) => new URL(each).origin),
      caCertificate: Buffer.from(ca_certificate_base64, 'base64').toString(),
      username,
      password: new Secret(password),
    });
    this.#clients.push(client);
    return client;
  }

  /** Until it is answered: what a fault has cut is tried again. */
  async #insist<T>(call: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    for (;;) {
      try {
        const answer = await call();
        this.longest = Math.max(this.longest, performance.now() - startedAt);
        return answer;
      } catch (error) {
        const isLate = performance.now() - startedAt > GIVE_UP_MS;
        if (isLate || !(error instanceof EtcdError && (error.isTransient || error.kind === 'other'))) {
          throw error;
        }
        await sleep(PAUSE_MS * 4);
      }
    }
  }

  async #write(): Promise<void> {
    const client = this.#client();
    const key = this.#key;
    for (let value = 1; !this.#stop.signal.aborted; value += 1) {
      const from = performance.now();
      this.#begun.push(from);
      // Sent again after a lost answer it does nothing, since the version has changed.
      const { header, succeeded, responses } = await this.#insist(() =>
        client.kv.txn({
          compare: [{ key, target: 'Version', result: 'Equal', version: String(value - 1) }],
          success: [{ request_put: { key, value: Buffer.from(String(value)) } }],
          failure: [{ request_range: { key } }],
        }),
      );
      const there = responses[0]?.response_range?.kvs[0];
      if (!succeeded && Number(String(there?.value)) !== value) {
        throw new Error(`the write of ${value} found ${there?.value}`);
      }
      this.#saw('write', value, succeeded ? header.revision : there?.mod_revision, header.revision, from);
      await sleep(PAUSE_MS);
    }
  }

  async #read(): Promise<void> {
    const client = this.#client();
    while (!this.#stop.signal.aborted) {
      const from = performance.now();
      const { header, kvs } = await this.#insist(() => client.kv.range({ key: this.#key }, within(CALL_MS)));
      const [kv] = kvs;
      this.#saw('read', Number(String(kv?.value ?? 0)), kv?.mod_revision ?? '0', header.revision, from);
      await sleep(PAUSE_MS);
    }
  }

  #saw(
    kind: Seen['kind'],
    value: number,
    modRevision: string | undefined,
    revision: string,
    from: number,
  ): void {
    this.history.push({
      kind,
      key: String(this.#key),
      value,
      modRevision: Number(modRevision),
      revision: Number(revision),
      from,
      to: performance.now(),
    });
  }

  /** Opened again after the last event when it ends, as etcd's own clients do. */
  async #watch(): Promise<void> {
    const client = this.#client();
    let next = 1;
    const isDone = () => this.#stop.signal.aborted && this.#watched.length >= this.#written;
    const giveUpAt = () => performance.now() + 20_000;
    let deadline = Number.POSITIVE_INFINITY;
    while (!isDone()) {
      const ended = await new Promise<boolean>((resolve) => {
        let look: NodeJS.Timeout | undefined;
        const over = (isOver: boolean) => {
          clearInterval(look);
          resolve(isOver);
        };
        client
          .stream<object, WatchAnswer>('/etcdserverpb.Watch/Watch', {
            onMessage: ({ events }) => {
              for (const { kv } of events) {
                this.#watched.push(Number(String(kv.value)));
                next = Number(kv.mod_revision) + 1;
              }
            },
            onEnd: () => over(false),
          })
          .then(
            (stream) => {
              stream.write({ create_request: { key: this.#key, start_revision: String(next) } });
              look = setInterval(() => {
                deadline = this.#stop.signal.aborted ? Math.min(deadline, giveUpAt()) : deadline;
                if (isDone() || performance.now() > deadline) {
                  stream.cancel();
                  over(true);
                }
              }, 50);
            },
            () => over(false),
          );
      });
      if (ended) {
        break;
      }
      await sleep(PAUSE_MS * 4);
    }
    if (!isDone()) {
      throw new Error(`the watch has told ${this.#watched.length} of ${this.#written}`);
    }
  }

  get #written(): number {
    return this.history.reduce(
      (most, { kind, value }) => (kind === 'write' ? Math.max(most, value) : most),
      0,
    );
  }

  /** A key under a lease is there as long as the lease is kept alive, whatever breaks for less than its time. */
  async #keepAlive(): Promise<void> {
    const client = this.#client();
    const { ID } = await this.#insist(() => client.lease.leaseGrant({ TTL: String(LEASE_TTL) }));
    await this.#insist(() => client.kv.put({ key: LEASED, value: Buffer.from('x'), lease: ID }));
    let aliveAt = performance.now();
    while (!this.#stop.signal.aborted) {
      const { TTL } = await this.#insist(() => keepAliveOnce(client, ID));
      const now = performance.now();
      if (Number(TTL) <= 0) {
        // etcd may end a lease that nobody could keep alive for its whole time.
        if (now - aliveAt < LEASE_TTL * 1_000) {
          throw new Error('a lease ended although it was kept alive');
        }
        return;
      }
      aliveAt = now;
      await sleep(KEPT_ALIVE_EVERY_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
    const { count } = await this.#insist(() => client.kv.range({ key: LEASED, count_only: true }));
    if (Number(count) !== 1) {
      throw new Error('the key under a lease is gone although the lease lives');
    }
  }
}

function keepAliveOnce(client: EtcdClient, ID: string): Promise<{ TTL: string }> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new EtcdError('timeout', 'no answer to a keep-alive')), 2_000);
    client
      .stream<object, { TTL: string }>('/etcdserverpb.Lease/LeaseKeepAlive', {
        onMessage: (answer) => {
          clearTimeout(timer);
          resolve(answer);
        },
        onEnd: (error) => reject(error ?? new EtcdError('unavailable', 'the stream has ended')),
      })
      .then((stream) => {
        stream.write({ ID });
        stream.end();
      }, reject);
  });
}
