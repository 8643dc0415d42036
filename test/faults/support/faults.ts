import { EtcdClient } from '../../../src/etcd/client.js';
import { freezeProcess } from '../../support/freeze.js';
import type { TestCluster } from './cluster.js';

/** When something was broken, on the monotonic clock. */
export class FaultTimes {
  readonly #spans: { from: number; to: number }[] = [];

  /** Something breaks now. @returns to be called when it is whole again and how long it may take to be felt, in ms */
  begin(): (graceMs: number) => void {
    const span = { from: performance.now(), to: Number.POSITIVE_INFINITY };
    this.#spans.push(span);
    return (graceMs) => {
      span.to = performance.now() + graceMs;
    };
  }

  /** Whether something was broken at some time since then. */
  since(time: number): boolean {
    return this.#spans.some(({ from, to }) => to >= time && from <= performance.now());
  }
}

/** The place of the leader among the members. */
export async function leaderOf(cluster: TestCluster): Promise<number> {
  const { endpoints, caCertificate, username, password } = cluster.embedded;
  for (const [index, endpoint] of endpoints.entries()) {
    const connection = new EtcdClient({ endpoints: [endpoint], caCertificate, username, password });
    try {
      const status = await connection.maintenance.status({ deadline: Date.now() + 2_000 });
      if (status.leader === status.header.member_id) {
        return index;
      }
    } catch {
      // a member that is down leads nobody
    } finally {
      connection.close();
    }
  }
  throw new Error('The cluster has no leader');
}

/** Waits until the cluster takes a change, as seen from a member that is up. @returns after how many milliseconds */
export async function quorumReturns(cluster: TestCluster, without: readonly number[] = []): Promise<number> {
  const startedAt = performance.now();
  const { endpoints, caCertificate, username, password } = cluster.embedded;
  const up = endpoints.filter((_endpoint, index) => !without.includes(index));
  for (;;) {
    const connection = new EtcdClient({ endpoints: up, caCertificate, username, password });
    try {
      await connection.kv.range({ key: Buffer.from('a') }, { deadline: Date.now() + 500 });
      return performance.now() - startedAt;
    } catch {
      if (performance.now() - startedAt > 30_000) {
        throw new Error('The quorum did not come back');
      }
    } finally {
      connection.close();
    }
  }
}

/** Freezes members. @returns to be called to let them go on */
export function freeze(cluster: TestCluster, members: readonly number[]): () => void {
  const pids = members.map((index) => cluster.embedded.members[index]?.pid as number);
  for (const pid of pids) {
    freezeProcess(pid);
  }
  return () => {
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGCONT');
      } catch {
        // it has ended
      }
    }
  };
}
