import assert from 'node:assert/strict';
import type { ITxnRequest } from 'etcd3';
import type { EtcdClient } from '../../src/etcd/client.js';
import { pauseBetweenWrites } from '../../src/records/clock-reading.js';
import { ClusterClock } from '../../src/records/cluster-clock.js';
import { keys } from '../../src/records/keys.js';

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;

/** An etcd with one key, leases that run down, signs of life and leaders, whose time a test moves. */
class FakeEtcd {
  ms = 0;
  term = 2;
  writes = 0;
  readonly alive = new Set<string>();
  #clock: { value: Buffer; revision: number } | undefined;
  #lease: { endsAt: number; ttl: number } | undefined;

  /** A new leader starts all leases anew. */
  elect(): void {
    this.term += 1;
    if (this.#lease !== undefined) {
      this.#lease.endsAt = this.ms + this.#lease.ttl * SECOND;
    }
  }

  #header() {
    return { cluster_id: '1', raft_term: String(this.term), revision: String(this.writes) };
  }

  readonly connection = {
    kv: {
      range: async ({ key }: { key: Buffer }) => {
        const name = key.toString();
        if (name !== keys.clock) {
          return { count: [...this.alive].some((id) => keys.owner(id) === name) ? '1' : '0' };
        }
        const kvs = this.#clock && [{ value: this.#clock.value, mod_revision: String(this.#clock.revision) }];
        return { kvs: kvs ?? [], header: this.#header() };
      },
      txn: async ({ compare, success }: ITxnRequest) => {
        const succeeded = String(compare?.[0]?.mod_revision) === String(this.#clock?.revision ?? 0);
        if (succeeded) {
          this.writes += 1;
          const put = success?.[0]?.request_put as { value: Buffer };
          this.#clock = { value: put.value, revision: this.writes };
        }
        return { succeeded, header: this.#header() };
      },
    },
    lease: {
      leaseGrant: async ({ TTL }: { TTL: number }) => {
        this.#lease = { endsAt: this.ms + TTL * SECOND, ttl: TTL };
        return { ID: '7', header: this.#header() };
      },
      leaseTimeToLive: async () => ({
        TTL: String(Math.floor(((this.#lease?.endsAt ?? 0) - this.ms) / SECOND)),
        header: this.#header(),
      }),
      leaseRevoke: async () => ({}),
    },
  } as unknown as EtcdClient;

  replica(id: string): ClusterClock {
    this.alive.add(id);
    return new ClusterClock(this.connection, { id, isAlive: true }, () => this.ms);
  }
}

describe("The cluster's clock among replicas", () => {
  /** Lets replicas look once a second until a moment is due. @returns when one of them saw that, in ms */
  async function waitUntil(etcd: FakeEtcd, replicas: readonly ClusterClock[], due: number): Promise<number> {
    for (;;) {
      for (const replica of replicas) {
        const now = await replica.tick(due);
        if (now !== undefined && now >= due) {
          return etcd.ms;
        }
      }
      etcd.ms += SECOND;
    }
  }

  it('is written seldom while what is due is far away, and is right all the same', async () => {
    const etcd = new FakeEtcd();
    const [a, b] = [etcd.replica('a'), etcd.replica('b')];
    const due = (await a.now()) + 6 * HOUR;
    const seenAt = await waitUntil(etcd, [a, b], due);
    assert.ok(seenAt >= 6 * HOUR, `${6 * HOUR - seenAt} ms early`);
    assert.ok(seenAt <= 6 * HOUR + 2 * SECOND, `${seenAt - 6 * HOUR} ms late`);
    assert.ok(etcd.writes < 650, `${etcd.writes} writes in six hours`);
  });

  it('is told to a replica that does not keep it without a write', async () => {
    const etcd = new FakeEtcd();
    const [a, b] = [etcd.replica('a'), etcd.replica('b')];
    await a.tick(30 * DAY);
    etcd.ms += 5 * 60 * SECOND;
    const before = etcd.writes;
    const told = await b.now();
    assert.equal(etcd.writes, before);
    assert.ok(told >= etcd.ms && told <= etcd.ms + 2 * SECOND, `${told} at ${etcd.ms}`);
  });

  it('is not written each second for what is overdue and does not go away', async () => {
    const etcd = new FakeEtcd();
    const a = etcd.replica('a');
    const due = await a.now();
    etcd.ms += 10 * SECOND;
    for (let second = 0; second < 3_600; second += 1) {
      assert.ok(((await a.tick(due)) ?? 0) >= due);
      etcd.ms += SECOND;
    }
    assert.ok(etcd.writes <= 62, `${etcd.writes} writes in an hour`);
  });

  it('loses nothing when its keeper dies', async () => {
    const etcd = new FakeEtcd();
    const [a, b] = [etcd.replica('a'), etcd.replica('b')];
    const due = (await a.now()) + HOUR;
    etcd.ms += 30 * SECOND;
    await a.tick(due);
    etcd.alive.delete('a');
    etcd.ms += HOUR / 2;
    const seenAt = await waitUntil(etcd, [b], due);
    assert.ok(seenAt >= HOUR - SECOND && seenAt <= HOUR + 3 * SECOND, `seen at ${seenAt}`);
  });

  it('loses at most the time since its last write when an election comes too, and is never early', async () => {
    const etcd = new FakeEtcd();
    const [a, b] = [etcd.replica('a'), etcd.replica('b')];
    const due = (await a.now()) + HOUR;
    for (let second = 0; second < 600; second += 1) {
      await a.tick(due);
      etcd.ms += SECOND;
    }
    etcd.alive.delete('a');
    etcd.elect();
    const seenAt = await waitUntil(etcd, [b], due);
    assert.ok(seenAt >= HOUR, `${HOUR - seenAt} ms early`);
    assert.ok(seenAt <= HOUR + pauseBetweenWrites(HOUR) + 3 * SECOND, `${seenAt - HOUR} ms late`);
  });

  it('says never less than the truth after an election that its keeper lived through', async () => {
    const etcd = new FakeEtcd();
    const [a, b] = [etcd.replica('a'), etcd.replica('b')];
    await a.tick(30 * DAY);
    etcd.ms += 300 * SECOND;
    etcd.elect();
    etcd.ms += 5 * SECOND;
    // The gauge knows of 5 s. What b makes due is counted from what b wrote, by a too.
    const due = (await b.now()) + 10 * SECOND;
    const askedAt = etcd.ms;
    const seenAt = await waitUntil(etcd, [a, b], due);
    assert.ok(seenAt - askedAt >= 10 * SECOND, `${seenAt - askedAt} ms after it was asked for`);
    assert.ok(seenAt - askedAt <= 13 * SECOND, `${seenAt - askedAt} ms after it was asked for`);
  });

  it('is saved by a keeper that stops, so that a restart of etcd costs nothing', async () => {
    const etcd = new FakeEtcd();
    const a = etcd.replica('a');
    const due = (await a.now()) + 6 * HOUR;
    await a.tick(due);
    etcd.ms += 500 * SECOND;
    await a.save();
    etcd.alive.delete('a');
    etcd.elect();
    const seenAt = await waitUntil(etcd, [etcd.replica('b')], due);
    assert.ok(seenAt >= 6 * HOUR && seenAt <= 6 * HOUR + 3 * SECOND, `seen at ${seenAt}`);
  });
});
