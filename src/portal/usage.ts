import type { EtcdClient } from '../etcd/client.js';
import { grantLease, keepAlive } from '../etcd/leases.js';
import type { Logger } from '../observability/log.js';
import type { ActiveTenants } from './calls/active-tenant.js';
import type { ClusterFacts } from './calls/local/cluster-facts.js';
import type { ClusterGuard } from './limits/cluster-guard.js';
import type { DueShare, InstanceBudgets } from './limits/instance-budgets.js';
import { nextScan, pauseAfterScan, type ScanCandidate } from './limits/scans.js';
import { usageKeys, writeScan } from './limits/share-records.js';
import type { Scan } from './limits/stored-bytes.js';
import { compactedRevision, PortalRecords } from './portal-records.js';
import { sizeOf } from './size-scan.js';
import type { Directory } from './tenants/directory.js';
import type { Upstream } from './upstream/upstream.js';

const EVERY_MS = 2_000;
const COMPACTION_EVERY_MS = 60_000;
/** Shares of a portal that is gone end with this lease, in seconds; a scan has covered them by then, or will. */
const LEASE_TTL = 60;
/** etcd's `--max-txn-ops`. */
const MOST_PUTS = 128;

interface FoundSize {
  scan: Scan;
  keys: number;
  instanceId: string;
}

export interface UsageParts {
  readonly client: EtcdClient;
  readonly upstream: Upstream;
  readonly directory: Directory;
  readonly active: ActiveTenants;
  readonly budgets: InstanceBudgets;
  readonly guard: ClusterGuard;
  readonly facts: ClusterFacts;
  /** `--quota-backend-bytes`, for etcds whose Status does not tell it. */
  readonly clusterQuota: number;
  readonly log: Logger;
}

/**
 * Keeps the count of stored bytes true: looks at the cluster's size and compaction, tells the other portals what went
 * through this one, and scans instances, one at a time and at most a tenth of the time.
 */
export class UsageKeeper {
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[] = [];
  readonly #records: PortalRecords;
  #lease: string | undefined;
  #comparedAt = Number.NEGATIVE_INFINITY;
  #knownQuota: number | undefined;

  constructor(readonly parts: UsageParts) {
    this.#records = new PortalRecords(parts.client);
  }

  start(): void {
    this.#running.push(
      this.#repeat(async () => {
        await this.#look();
        return EVERY_MS;
      }),
      this.#repeat(async () => {
        await this.#tell();
        return EVERY_MS;
      }),
      this.#repeat(() => this.#scan()),
    );
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  /** @param round returns how long to wait for the next one, in milliseconds */
  async #repeat(round: () => Promise<number>): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      let pause = EVERY_MS;
      try {
        pause = await round();
      } catch (error) {
        this.parts.log.debug({ reason: (error as Error).message }, 'Stored bytes could not be counted');
      }
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, pause);
        signal.addEventListener('abort', done);
        if (signal.aborted) {
          done();
        }
      });
    }
  }

  async #look(): Promise<void> {
    const { facts, guard, budgets, client } = this.parts;
    const { size, inUse, quota } = await facts.status();
    guard.observe([{ size, inUse, quota: quota ?? (await this.#quota()) }]);
    if (performance.now() - this.#comparedAt > COMPACTION_EVERY_MS) {
      budgets.compacted(await compactedRevision(client));
      this.#comparedAt = performance.now();
    }
  }

  /** The cluster's own quota, asked until it is known: a member keeps it as long as it runs. */
  async #quota(): Promise<number> {
    const { facts, clusterQuota, log } = this.parts;
    if (this.#knownQuota === undefined) {
      try {
        this.#knownQuota = (await facts.metrics()).quota;
      } catch (error) {
        const details = { reason: (error as Error).message, quota: clusterQuota };
        log.debug(details, "The cluster's quota is not known; etcd's default is taken");
        return clusterQuota;
      }
    }
    return this.#knownQuota;
  }

  async #tell(): Promise<void> {
    const { client, budgets } = this.parts;
    const due = budgets.dueShares();
    if (this.#lease !== undefined && (await keepAlive(client, this.#lease)) <= 0) {
      this.#lease = undefined;
    }
    for (let first = 0; first < due.length; first += MOST_PUTS) {
      this.#lease ??= await grantLease(client, LEASE_TTL);
      await this.#write(due.slice(first, first + MOST_PUTS), this.#lease);
    }
  }

  async #write(shares: readonly DueShare[], lease: string): Promise<void> {
    const { header } = await this.parts.client.kv.txn({
      compare: [],
      success: shares.map(({ key, value }) => ({ request_put: { key: Buffer.from(key), value, lease } })),
      failure: [],
    });
    for (const share of shares) {
      share.done(Number(header.revision));
    }
  }

  /** @returns how long to pause */
  async #scan(): Promise<number> {
    const { budgets } = this.parts;
    const candidate: ScanCandidate | undefined = nextScan(budgets.candidates(), budgets.now());
    if (candidate === undefined) {
      return EVERY_MS;
    }
    const startedAt = performance.now();
    const { deployment } = candidate;
    const found = await this.#sizeOf(deployment);
    const isWritten =
      found !== undefined &&
      (await this.#records.putOf(found.instanceId, usageKeys.scan(deployment), writeScan(found.scan)));
    if (isWritten) {
      // Only what is written counts, so that it is older than any share that begins with it.
      budgets.scanned(deployment, found.scan, found.keys);
    }
    return pauseAfterScan(performance.now() - startedAt);
  }

  /** Each key space once, as a tenant that uses it; undefined when the instance is gone. */
  async #sizeOf(deployment: string): Promise<FoundSize | undefined> {
    const { directory, upstream, active, budgets } = this.parts;
    const bySpace = new Map<string, ReturnType<Directory['find']>>();
    for (const tenant of directory) {
      if (tenant.instance.settings.deploymentId === deployment) {
        bySpace.set(tenant.keySpace.prefix, tenant);
      }
    }
    const [first] = bySpace.values();
    if (first === undefined) {
      budgets.forget(deployment);
      return undefined;
    }
    let bytes = 0;
    let keys = 0;
    let revision = 0;
    for (const tenant of bySpace.values()) {
      if (tenant !== undefined) {
        const size = await sizeOf(upstream, active.of(tenant), revision, this.#stop.signal);
        bytes += size.bytes;
        keys += size.keys;
        revision = size.revision;
      }
    }
    return { scan: { bytes, revision }, keys, instanceId: first.instance.settings.instanceId };
  }
}
