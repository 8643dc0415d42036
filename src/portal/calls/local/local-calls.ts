import { EtcdError } from '../../../etcd/errors.js';
import type { Logger } from '../../../observability/log.js';
import { Findings } from '../../rewriter/findings.js';
import { type AllowedCall, callsByPath } from '../../table/lookup.js';
import type { Upstream } from '../../upstream/upstream.js';
import type { ActiveTenant } from '../active-tenant.js';
import { denialOf } from '../admission.js';
import type { Floors } from '../floors.js';
import type { InboundCall, InboundConnection, InboundHandlers } from '../inbound.js';
import { type Status, statuses } from '../status.js';
import type { Authenticate } from './authenticate.js';
import type { ClusterFacts } from './cluster-facts.js';
import { compact, type FloorStore } from './compact.js';
import { Health } from './health.js';
import { leaseList } from './lease-list.js';
import { type Answerer, CallFailed, LocalCall } from './local-call.js';

export interface LocalParts {
  readonly authenticate: Authenticate;
  readonly facts: ClusterFacts;
  readonly floors: Floors;
  readonly floorStore: FloorStore;
  readonly upstream: Upstream;
  readonly isServing: () => boolean;
  readonly isDraining: () => boolean;
  readonly log: Logger;
  readonly observe: (call: string, code: number, seconds: number) => void;
}

const authenticate = callsByPath.get('/etcdserverpb.Auth/Authenticate') as AllowedCall;
const HEALTH = /^\/grpc\.health\.v1\.Health\/(Check|Watch)$/;
const noFindings = new Findings();

/** The calls that the portal answers itself. */
export class LocalCalls {
  readonly #healthWatches = new Set<Health>();

  constructor(readonly parts: LocalParts) {}

  /** A call that is none of etcd's and needs no token; undefined when there is no such call. */
  withoutToken(inbound: InboundCall): InboundHandlers | undefined {
    return HEALTH.test(inbound.path)
      ? new Health(inbound, this.parts.isServing, this.#healthWatches, this.parts.isDraining)
      : undefined;
  }

  /** Ends what has no end of its own. */
  endStreams(): void {
    for (const watch of [...this.#healthWatches]) {
      watch.draining();
    }
  }

  authenticate(inbound: InboundCall, connection: InboundConnection): InboundHandlers {
    return this.#begin(authenticate, inbound, undefined, async (request, signal) => {
      const answer = await this.parts.authenticate.answer(request, connection.peer, signal);
      connection.signedIn();
      return answer;
    });
  }

  /** @param active undefined for MemberList without a token */
  handle(call: AllowedCall, active: ActiveTenant | undefined, inbound: InboundCall): InboundHandlers {
    const answerer = active === undefined ? this.#memberList : this.#answerer(call, active);
    return this.#begin(call, inbound, active, answerer);
  }

  readonly #memberList: Answerer = async () => {
    const { facts } = this.parts;
    const members = facts.members.map(({ id, name, clientUrl }) => ({
      ID: id,
      name,
      clientURLs: [clientUrl],
    }));
    return { header: facts.header(), members };
  };

  #answerer(call: AllowedCall, active: ActiveTenant): Answerer {
    const { facts, floors, floorStore, upstream } = this.parts;
    switch (call.name) {
      case 'Compact':
        return (request) => compact(request, active, floorStore, floors, facts);
      case 'LeaseLeases':
        return (_request, signal) => leaseList(call, active, upstream, facts, signal);
      case 'MemberList':
        return this.#memberList;
      case 'Status':
        return () => this.#status(active);
      case 'AuthStatus':
        return async () => ({ header: facts.header(), enabled: true, authRevision: '1' });
      case 'Alarm':
        return async ({ action }) => {
          if (action !== 'Get') {
            throw new CallFailed(statuses.permissionDenied);
          }
          return { header: facts.header(), alarms: [] };
        };
      default:
        throw new Error(`The portal has no answer of its own to ${call.name}`);
    }
  }

  /** The cluster's version and state of consensus, the portal as the leader, and the size of the tenant's instance. */
  async #status(active: ActiveTenant): Promise<object> {
    const { facts } = this.parts;
    const status = await facts.status();
    const { estimate, quota } = active.bytes;
    return {
      header: facts.header(Number(status.revision)),
      version: status.version,
      dbSize: String(estimate),
      dbSizeInUse: String(estimate),
      dbSizeQuota: String(quota),
      leader: facts.memberId,
      raftIndex: status.raftIndex,
      raftTerm: status.raftTerm,
      raftAppliedIndex: status.raftIndex,
      storageVersion: status.storageVersion,
    };
  }

  #begin(
    call: AllowedCall,
    inbound: InboundCall,
    active: ActiveTenant | undefined,
    answerer: Answerer,
  ): InboundHandlers {
    const startedAt = performance.now();
    let isHeld = false;
    const local = new LocalCall({
      call,
      inbound,
      answerer,
      explain: (error) => this.#explain(call, error),
      onOver: (over, code) => {
        if (isHeld) {
          active?.held.delete(over);
          active?.gauges.release('requests');
        }
        const seconds = (performance.now() - startedAt) / 1_000;
        active?.tally.ended(call.name, code, call.kind === 'unary' ? seconds : undefined);
        this.parts.observe(call.name, code, seconds);
      },
    });
    const denied = active && denialOf(active.tenant, call, noFindings, 0);
    const tooMany = denied === undefined ? active?.gauges.acquire('requests') : undefined;
    const refused = denied ?? (tooMany && active?.refuse(tooMany));
    if (refused !== undefined) {
      local.finish(refused);
      return local;
    }
    isHeld = active !== undefined;
    active?.held.add(local);
    return local;
  }

  #explain({ name }: AllowedCall, error: Error): Status {
    if (error instanceof EtcdError) {
      this.parts.log.warn(
        { call: name, reason: error.message },
        'etcd could not be asked for an answer of the portal',
      );
      if (error.kind === 'denied') {
        return statuses.permissionDenied;
      }
      return error.isTransient ? statuses.connectionLost : statuses.fault;
    }
    this.parts.log.error(
      { call: name, reason: error.message, stack: error.stack },
      'A call failed by a fault of the portal',
    );
    return statuses.fault;
  }
}
