import { createHash } from 'node:crypto';
import { type EtcdClient, within } from '../../../etcd/client.js';
import { isEtcdError } from '../../../etcd/errors.js';
import { type MemberMetrics, memberMetrics } from '../../../etcd/member-metrics.js';
import { headerIdentity } from '../../rewriter/scope.js';
import { TOKEN_KEY } from '../../tenants/token-key.js';
import type { Upstream } from '../../upstream/upstream.js';

/** etcd's Status is asked at most this often, in milliseconds, whatever tenants do. */
const STATUS_AGE_MS = 1_000;
const STATUS_TIMEOUT_MS = 3_000;
/** One that the portals' user may read, for the header of the answer. */
const SOME_KEY = Buffer.from(TOKEN_KEY);

export interface Member {
  /** An uint64 in decimal. */
  readonly id: string;
  readonly name: string;
  readonly clientUrl: string;
}

export interface Header {
  readonly cluster_id: string;
  readonly member_id: string;
  readonly revision: string;
  readonly raft_term: string;
}

/** The cluster as the member tells that was asked. */
export interface ClusterStatus {
  readonly version: string;
  readonly hasLeader: boolean;
  readonly revision: string;
  readonly raftTerm: string;
  readonly raftIndex: string;
  /** From 3.6 on. */
  readonly storageVersion: string;
  /** Of the file, and what is in use of it, in bytes. */
  readonly size: number;
  readonly inUse: number;
  /** `--quota-backend-bytes`, where it was told. */
  readonly quota: number | undefined;
}

/** What tenants see of the cluster: its portals as its members, under ids that every portal computes alike. */
export class ClusterFacts {
  readonly members: readonly Member[];
  readonly clusterId: string;
  #status: ClusterStatus | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<ClusterStatus> | undefined;
  /** Status was refused: this version tells it only to root. */
  #isDenied = false;

  /**
   * @param endpoints what credentials name, one for each portal
   * @param self which of them this portal is
   */
  constructor(
    readonly client: EtcdClient,
    readonly upstream: Upstream,
    endpoints: readonly string[],
    readonly self = 0,
  ) {
    this.members = endpoints.map((clientUrl, index) => ({
      id: idOf(`member ${clientUrl}`),
      name: `portal-${index + 1}`,
      clientUrl,
    }));
    this.clusterId = idOf(`cluster ${endpoints.join(' ')}`);
  }

  get memberId(): string {
    return this.members[this.self]?.id ?? this.clusterId;
  }

  /** What stands in the headers of etcd's answers instead of etcd's own ids. */
  get identity(): Buffer {
    return headerIdentity(BigInt(this.clusterId), BigInt(this.memberId));
  }

  /** A header as of now, as far as this portal knows; etcd is not asked. */
  header(revision = this.upstream.latestRevision): Header {
    return {
      cluster_id: this.clusterId,
      member_id: this.memberId,
      revision: String(revision),
      raft_term: this.#status?.raftTerm ?? '0',
    };
  }

  /** The cluster's own status, at most a second old. @throws EtcdError */
  status(): Promise<ClusterStatus> {
    if (this.#status !== undefined && performance.now() - this.#askedAt < STATUS_AGE_MS) {
      return Promise.resolve(this.#status);
    }
    this.#asking ??= this.#ask();
    return this.#asking;
  }

  async #ask(): Promise<ClusterStatus> {
    try {
      const askedAt = performance.now();
      const status = await this.#askEtcd();
      this.#status = status;
      this.#askedAt = askedAt;
      this.upstream.saw(Number(status.revision));
      return status;
    } finally {
      this.#asking = undefined;
    }
  }

  async #askEtcd(): Promise<ClusterStatus> {
    if (!this.#isDenied) {
      try {
        return await this.#askStatus();
      } catch (error) {
        if (!isEtcdError(error, 'denied')) {
          throw error;
        }
        this.#isDenied = true;
      }
    }
    return this.#askMetrics();
  }

  async #askStatus(): Promise<ClusterStatus> {
    const status = await this.client.maintenance.status(within(STATUS_TIMEOUT_MS));
    // Fields that older versions of etcd, or of the typed client, do not have.
    const { dbSizeInUse, dbSizeQuota, storageVersion } = status as {
      dbSizeInUse?: string;
      dbSizeQuota?: string;
      storageVersion?: string;
    };
    const size = Number(status.dbSize);
    return {
      version: status.version,
      hasLeader: status.leader !== '0',
      revision: status.header.revision,
      raftTerm: status.header.raft_term,
      raftIndex: status.raftIndex,
      storageVersion: storageVersion ?? '',
      size,
      inUse: Number(dbSizeInUse) || size,
      quota: Number(dbSizeQuota) || undefined,
    };
  }

  async #askMetrics(): Promise<ClusterStatus> {
    const [{ header }, { version, hasLeader, appliedIndex, size, inUse, quota }] = await Promise.all([
      this.client.kv.range({ key: SOME_KEY, count_only: true }, within(STATUS_TIMEOUT_MS)),
      this.metrics(),
    ]);
    const { revision, raft_term: raftTerm } = header;
    const raftIndex = String(appliedIndex);
    return { version, hasLeader, revision, raftTerm, raftIndex, storageVersion: '', size, inUse, quota };
  }

  /** The `/metrics` of the first member that answers. @throws AggregateError when none does */
  metrics(): Promise<MemberMetrics> {
    const { address } = this.client;
    return Promise.any(
      address.endpoints.map((endpoint) => memberMetrics(endpoint, address, STATUS_TIMEOUT_MS)),
    );
  }
}

/** 63 bits, as etcd's ids look; never 0. */
function idOf(text: string): string {
  const bits = createHash('sha256').update(text).digest().readBigUInt64BE() >> 1n;
  return String(bits | 1n);
}
