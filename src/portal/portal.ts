import { randomUUID } from 'node:crypto';
import { SealError } from '../broker/errors.js';
import type { ClusterAddress } from '../etcd/client.js';
import { EtcdClient } from '../etcd/client.js';
import type { Logger } from '../observability/log.js';
import { ActiveTenants } from './calls/active-tenant.js';
import { Dispatch } from './calls/dispatch.js';
import { Floors } from './calls/floors.js';
import type { ConnectionCalls, InboundConnection } from './calls/inbound.js';
import { Authenticate } from './calls/local/authenticate.js';
import { ClusterFacts } from './calls/local/cluster-facts.js';
import { LocalCalls } from './calls/local/local-calls.js';
import type { ForwardingParts } from './calls/parts.js';
import { EtcdFeed } from './etcd-feed.js';
import type { ClusterState } from './json/gateway.js';
import { AdaptiveLimit } from './limits/adaptive-limit.js';
import { ClusterGuard } from './limits/cluster-guard.js';
import { FAIRNESS_LIMITS, FairScheduler } from './limits/fairness.js';
import { PortalGauges } from './limits/gauges.js';
import { Guesses } from './limits/guesses.js';
import { InstanceBudgets } from './limits/instance-budgets.js';
import { CallTimes } from './metrics/call-times.js';
import { MinuteWriter } from './metrics/minutes.js';
import {
  type ListenerSnapshot,
  type PortalSnapshot,
  portalSnapshot,
  type SnapshotParts,
} from './metrics/snapshot.js';
import { Tallies } from './metrics/tallies.js';
import { PortalRecords } from './portal-records.js';
import { callsByPath } from './table/lookup.js';
import { Directory } from './tenants/directory.js';
import { Passwords } from './tenants/passwords.js';
import type { InstanceFacts } from './tenants/records.js';
import { openTokenKey, type Seals, TOKEN_KEY, tokenKey } from './tenants/token-key.js';
import { Tokens } from './tenants/tokens.js';
import { Upstream } from './upstream/upstream.js';
import { UsageKeeper } from './usage.js';

const DEFAULT_CLUSTER_QUOTA = 2 * 1024 ** 3;
const TICK_MS = 100;
const SWEEP_EVERY_TICKS = 300;
/** The calls that a tenant may make. */
const CALL_NAMES = [...callsByPath.values()]
  .filter(({ handling }) => handling !== 'denied')
  .map(({ name }) => name);

export interface PortalOptions {
  /** The cluster, with the portals' own etcd user, see `access.ts`. */
  readonly cluster: ClusterAddress;
  readonly seals: Seals;
  /** What credentials name, one `https://host:port` for each portal; tenants see them as the cluster's members. */
  readonly endpoints: readonly string[];
  /** Which of the endpoints this portal is. */
  readonly self?: number;
  /** The plan's quota for an instance, in bytes. */
  readonly quotaOf: (instance: InstanceFacts) => number;
  readonly defaultQuota: number;
  /** etcd's `--quota-backend-bytes`, for versions that do not tell it (before 3.6); its default of 2 GiB where not given. */
  readonly clusterQuota?: number;
  readonly gauges?: PortalGauges;
  readonly guesses?: Guesses;
  readonly log: Logger;
}

/** One portal without its listener: takes calls from whatever carries them. */
export class Portal {
  readonly directory: Directory;
  readonly active: ActiveTenants;
  readonly upstream: Upstream;
  readonly #client: EtcdClient;
  readonly #dispatch: ConstructorParameters<typeof Dispatch>[0];
  readonly #usage: UsageKeeper;
  readonly #minutes: MinuteWriter;
  readonly #facts: ClusterFacts;
  readonly #ticker: NodeJS.Timeout;
  readonly #told: SnapshotParts;
  #ticks = 0;
  #isDraining = false;

  private constructor(
    readonly options: PortalOptions,
    client: EtcdClient,
    key: Buffer,
  ) {
    const { cluster, seals, endpoints, log, gauges = new PortalGauges() } = options;
    const tallies = new Tallies();
    const times = new CallTimes(CALL_NAMES);
    const observe: ForwardingParts['observe'] = (call, code, seconds) => times.observe(call, code, seconds);
    this.#client = client;
    const { username: _user, password: _password, ...address } = cluster;
    this.upstream = new Upstream(address, seals);
    const floors = new Floors();
    const id = randomUUID();
    const budgets = new InstanceBudgets(id, options.defaultQuota);
    const facts = new ClusterFacts(client, this.upstream, endpoints, options.self);
    this.#facts = facts;
    this.active = new ActiveTenants({
      upstream: this.upstream,
      gauges,
      budgets,
      tallies,
      identity: facts.identity,
    });
    this.directory = new Directory({
      feed: new EtcdFeed(client),
      seals,
      quotaOf: options.quotaOf,
      region: [
        floors,
        budgets,
        {
          prefix: TOKEN_KEY,
          put: ({ value }) => {
            try {
              tokens.changeKey(openTokenKey(value, seals));
            } catch (error) {
              if (!(error instanceof SealError)) {
                throw error;
              }
              // Sealed anew under a key that this portal has not been given yet. What is sealed has not changed.
              log.error(
                { reason: error.message },
                'The key of the tokens can not be read; the one before is kept',
              );
            }
          },
          remove: () => undefined,
        },
      ],
      warn: (detail, text) => log.warn(detail, text),
    });
    const tokens = new Tokens(this.directory, key);
    const guard = new ClusterGuard();
    const scheduler = new FairScheduler({ ...FAIRNESS_LIMITS });
    const adaptive = new AdaptiveLimit();
    const forwarding: ForwardingParts = {
      upstream: this.upstream,
      active: this.active,
      floors,
      guard,
      scheduler,
      adaptive,
      isDraining: () => this.#isDraining,
      log,
      observe,
    };
    const local = new LocalCalls({
      authenticate: new Authenticate({
        passwords: new Passwords(this.directory),
        tenants: this.directory,
        guesses: options.guesses ?? new Guesses(),
        gauges,
        tokens,
        facts,
      }),
      facts,
      floors,
      floorStore: new PortalRecords(client),
      upstream: this.upstream,
      isServing: () => this.directory.isWhole && !this.#isDraining,
      isDraining: () => this.#isDraining,
      log,
      observe,
    });
    this.#usage = new UsageKeeper({
      client,
      upstream: this.upstream,
      directory: this.directory,
      active: this.active,
      budgets,
      guard,
      facts,
      clusterQuota: options.clusterQuota ?? DEFAULT_CLUSTER_QUOTA,
      log,
    });
    this.#minutes = new MinuteWriter({ client, portal: id, active: this.active, budgets, tallies, log });
    this.#dispatch = { forwarding, tokens, local };
    this.#told = { active: this.active, budgets, gauges, times, tallies };
    this.#ticker = setInterval(() => {
      const inFlight = adaptive.tick(scheduler.takeChanges() > 1);
      scheduler.limits = { ...scheduler.limits, inFlight, inFlightOfOne: Math.ceil(inFlight * 0.75) };
      this.#ticks += 1;
      if (this.#ticks % SWEEP_EVERY_TICKS === 0) {
        this.active.sweep(performance.now());
      }
    }, TICK_MS);
    this.#ticker.unref();
  }

  /**
   * Reads the records, and is ready to take calls then.
   * @throws EtcdError when the cluster can't be reached or refuses the portals' user
   */
  static async open(options: PortalOptions): Promise<Portal> {
    const client = new EtcdClient(options.cluster);
    let portal: Portal | undefined;
    try {
      portal = new Portal(options, client, await tokenKey(new PortalRecords(client), options.seals));
      portal.directory.start();
      await portal.directory.whole();
      portal.#usage.start();
      portal.#minutes.start();
      return portal;
    } catch (error) {
      await portal?.close();
      client.close();
      throw error;
    }
  }

  /** A tenant has connected. */
  connected(connection: InboundConnection): ConnectionCalls {
    return new Dispatch(this.#dispatch, connection);
  }

  /** Ends watches and other streams, which would keep a portal from stopping, and begins none any more. */
  endStreams(): void {
    this.#isDraining = true;
    this.#dispatch.local.endStreams();
    this.active.endStreams();
  }

  /** What anybody may know of the cluster; it is asked once a second at most. @throws EtcdError */
  async clusterState(): Promise<ClusterState> {
    const { version, hasLeader } = await this.#facts.status();
    return { version, hasLeader };
  }

  /** What it tells of itself, with what its listener knows. */
  snapshot(listener: ListenerSnapshot): PortalSnapshot {
    return portalSnapshot(this.#told, listener);
  }

  /** After its listener was closed. */
  async close(): Promise<void> {
    clearInterval(this.#ticker);
    await Promise.all([this.#usage.stop(), this.#minutes.stop(), this.directory.stop()]);
    this.upstream.close();
    this.#client.close();
  }
}
