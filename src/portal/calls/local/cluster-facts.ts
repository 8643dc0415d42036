import { createHash } from 'node:crypto';
import type { IStatusResponse } from 'etcd3';
import { type EtcdClient, within } from '../../../etcd/client.js';
import { isEtcdError } from '../../../etcd/errors.js';
import { headerIdentity } from '../../rewriter/scope.js';
import type { Upstream } from '../../upstream/upstream.js';

/** etcd's Status is asked at most this often, in milliseconds, whatever tenants do. */
const STATUS_AGE_MS = 1_000;
const STATUS_TIMEOUT_MS = 3_000;

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

/** What tenants see of the cluster: its portals as its members, under ids that every portal computes alike. */
export class ClusterFacts {
  readonly members: readonly Member[];
  readonly clusterId: string;
  #status: IStatusResponse | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<IStatusResponse> | undefined;

  /**
   * @param endpoints what credentials name, one for each portal
   * @param self which of them this portal is
   * @param privileged see `PortalOptions`
   */
  constructor(
    readonly client: EtcdClient,
    readonly upstream: Upstream,
    endpoints: readonly string[],
    readonly self = 0,
    readonly privileged?: EtcdClient,
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
      raft_term: this.#status?.header.raft_term ?? '0',
    };
  }

  /** The cluster's own status, at most a second old. @throws EtcdError */
  status(): Promise<IStatusResponse> {
    if (this.#status !== undefined && performance.now() - this.#askedAt < STATUS_AGE_MS) {
      return Promise.resolve(this.#status);
    }
    this.#asking ??= this.#ask();
    return this.#asking;
  }

  async #ask(): Promise<IStatusResponse> {
    try {
      const askedAt = performance.now();
      const status = await this.#askEtcd();
      this.#status = status;
      this.#askedAt = askedAt;
      this.upstream.saw(Number(status.header.revision));
      return status;
    } finally {
      this.#asking = undefined;
    }
  }

  /** Some versions, 3.5.30 among them, tell their status only to root. */
  async #askEtcd(): Promise<IStatusResponse> {
    try {
      return await this.client.maintenance.status(within(STATUS_TIMEOUT_MS));
    } catch (error) {
      if (this.privileged === undefined || !isEtcdError(error, 'denied')) {
        throw error;
      }
      return this.privileged.maintenance.status(within(STATUS_TIMEOUT_MS));
    }
  }
}

/** 63 bits, as etcd's ids look; never 0. */
function idOf(text: string): string {
  const bits = createHash('sha256').update(text).digest().readBigUInt64BE() >> 1n;
  return String(bits | 1n);
}
