import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ClusterGuard } from '../../../src/portal/limits/cluster-guard.js';
import { InstanceBudgets } from '../../../src/portal/limits/instance-budgets.js';
import { RevisionWindows } from '../../../src/portal/limits/revision-windows.js';
import { nextScan, pauseAfterScan } from '../../../src/portal/limits/scans.js';
import { readUsage, usageKeys, writeScan } from '../../../src/portal/limits/share-records.js';
import { StoredBytes } from '../../../src/portal/limits/stored-bytes.js';

const DEPLOYMENT = 'a'.repeat(24);
const QUOTA = 25_600;

describe('Bytes by revision', () => {
  it('are never too few, and too many by a window at most', () => {
    const write = fc.record({ step: fc.integer({ min: 1, max: 5 }), bytes: fc.integer({ min: 1, max: 50 }) });
    fc.assert(
      fc.property(fc.array(write, { maxLength: 200 }), fc.nat(600), (writes, covered) => {
        const windows = new RevisionWindows(20, 4);
        let revision = 0;
        let later = 0;
        let all = 0;
        for (const { step, bytes } of writes) {
          revision += step;
          windows.add(revision, bytes);
          later += revision > covered ? bytes : 0;
          all += bytes;
        }
        assert.equal(windows.total, all);
        windows.dropThrough(covered);
        assert.ok(windows.total >= later, 'what was written later stays counted');
        windows.dropThrough(revision);
        assert.equal(windows.total, 0);
      }),
    );
  });
});

describe('The bytes of an instance', () => {
  let bytes: StoredBytes;

  beforeEach(() => {
    bytes = new StoredBytes(QUOTA);
  });

  function put(size: number, revision: number): void {
    assert.equal(bytes.admit(size), undefined);
    bytes.settle(size, revision);
  }

  it('are refused over the quota, as etcd does it, until a scan finds less', () => {
    put(QUOTA - 100, 10);
    assert.deepEqual(bytes.admit(101), {
      code: 8,
      text: 'etcdserver: mvcc: database space exceeded',
      limit: 'stored bytes',
    });
    assert.equal(bytes.wantsScan, true, 'perhaps it was the same key all the time');
    bytes.scanned({ revision: 10, bytes: 500 });
    assert.equal(bytes.estimate, 500);
    assert.equal(bytes.wantsScan, false);
    put(101, 11);
  });

  it('count puts in flight, and those that a scan did not see', () => {
    assert.equal(bytes.admit(1_000), undefined);
    assert.equal(bytes.admit(2_000), undefined);
    assert.equal(bytes.estimate, 3_000);
    bytes.settle(1_000, 20);
    bytes.scanned({ revision: 15, bytes: 50 });
    assert.equal(bytes.estimate, 3_050);
    bytes.settle(2_000, 14);
    assert.equal(bytes.estimate, 1_050, 'the scan has seen that one');
    assert.equal(bytes.admit(7), undefined);
    bytes.settle(7, undefined);
    assert.equal(bytes.estimate, 1_050, 'that one failed');
    bytes.scanned({ revision: 3, bytes: 0 });
    assert.equal(bytes.estimate, 1_050, 'an older scan says nothing new');
  });

  it('ask for a scan after a delete, which is never refused', () => {
    bytes.deleted();
    assert.equal(bytes.wantsScan, true);
  });

  it('have a budget of history, which a compaction gives back', () => {
    for (let revision = 1; revision <= 4; revision += 1) {
      put(QUOTA, revision);
      bytes.scanned({ revision, bytes: 0 }); // the same key again and again
    }
    const refusal = bytes.admit(1);
    assert.equal(refusal?.text, 'etcdserver: too many requests');
    assert.equal(refusal?.code, 8);
    bytes.compacted(2);
    assert.equal(bytes.history, 2 * QUOTA, 'what is younger than the compaction still counts');
    put(QUOTA, 5);
  });

  it('of several portals add up, and a dead portal ages out', () => {
    bytes.shared('b', { added: 300, written: 300, revision: 10 });
    bytes.shared('c', { added: 500, written: 500, revision: 12 });
    put(100, 13);
    assert.equal(bytes.estimate, 900);
    assert.equal(bytes.history, 900);
    bytes.scanned({ revision: 11, bytes: 50 });
    assert.equal(
      bytes.estimate,
      650,
      "b's record is older than the scan, so the scan has seen all that it tells of",
    );
    bytes.scanned({ revision: 14, bytes: 50 });
    assert.equal(bytes.estimate, 50);
    assert.equal(bytes.history, 900);
    bytes.compacted(12);
    assert.equal(bytes.history, 100);
  });

  it('are known at each of several portals, but for what is too little to tell', () => {
    const step = fc.record({
      do: fc.constantFrom('put', 'put', 'put', 'overwrite', 'publish', 'scan', 'compact', 'die'),
      portal: fc.nat(2),
      size: fc.integer({ min: 1, max: 90 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        let revision = 1;
        let stored = 0;
        let history = 0;
        let lives = 0;
        const region = new Map<string, Parameters<InstanceBudgets['put']>[0]>();
        const open = () => {
          const portal = new InstanceBudgets(`portal-${lives++}`, QUOTA, () => 0);
          for (const entry of region.values()) {
            portal.put(entry);
          }
          return portal;
        };
        const portals = [open(), open(), open()];
        const write = (key: string, value: Buffer) => {
          revision += 1;
          const entry = { key, value, createRevision: revision, modRevision: revision };
          region.set(key, entry);
          for (const portal of portals) {
            portal.put(entry);
          }
          return revision;
        };
        const publish = (portal: InstanceBudgets) => {
          for (const { key, value, done } of portal.dueShares()) {
            done(write(key, value));
          }
        };
        for (const { do: what, portal: number, size } of steps) {
          const portal = portals[number] as InstanceBudgets;
          const bytes = portal.of(DEPLOYMENT, QUOTA);
          if (what === 'put' || what === 'overwrite') {
            if (bytes.admit(size) === undefined) {
              revision += 1;
              stored += what === 'put' ? size : 0;
              history += size;
              bytes.settle(size, revision);
            }
          } else if (what === 'publish') {
            publish(portal);
          } else if (what === 'scan') {
            write(usageKeys.scan(DEPLOYMENT), writeScan({ revision, bytes: stored }));
          } else if (what === 'compact') {
            history = 0;
            for (const one of portals) {
              one.compacted(revision);
            }
          } else {
            publish(portal); // what it had not told yet is lost until the next scan
            portals[number] = open();
          }
          for (const one of portals) {
            const { estimate, history: counted } = one.of(DEPLOYMENT, QUOTA);
            const untold = portals.length * (QUOTA / 256 + 90) + lives * (QUOTA / 256);
            if (what === 'publish') {
              continue;
            }
            assert.ok(estimate >= stored - unpublished(portals, one) - untold, `${estimate} of ${stored}`);
            assert.ok(counted >= 0 && history >= 0);
          }
        }
        for (const portal of portals) {
          publish(portal);
        }
        const untold = (portals.length + lives) * (QUOTA / 256);
        for (const portal of portals) {
          assert.ok(portal.of(DEPLOYMENT, QUOTA).estimate >= stored - untold);
        }
        write(usageKeys.scan(DEPLOYMENT), writeScan({ revision, bytes: stored }));
        for (const portal of portals) {
          assert.equal(portal.of(DEPLOYMENT, QUOTA).estimate, stored, 'a scan sets all of them right');
        }
      }),
      { numRuns: 300 },
    );
  });

  /** What the other portals have not told yet. */
  function unpublished(portals: readonly InstanceBudgets[], except: InstanceBudgets): number {
    return portals
      .filter((portal) => portal !== except)
      .reduce((sum, portal) => sum + portal.of(DEPLOYMENT, QUOTA).added, 0);
  }

  it('are told in small records that damage can not break', () => {
    const entry = (key: string, value: string) => ({
      key,
      value: Buffer.from(value),
      createRevision: 1,
      modRevision: 7,
    });
    assert.deepEqual(readUsage(entry(usageKeys.share('p-1', DEPLOYMENT), '12 34')), {
      kind: 'share',
      portal: 'p-1',
      deployment: DEPLOYMENT,
      share: { added: 12, written: 34, revision: 7 },
    });
    assert.equal(readUsage(entry(usageKeys.share('p-1', DEPLOYMENT), '12 -34')), undefined);
    assert.equal(readUsage(entry(usageKeys.share('p/1', DEPLOYMENT), '12 34')), undefined);
    assert.equal(readUsage(entry('/_broker/v1/portal/token-key', '12 34')), undefined);
  });
});

describe('The next scan', () => {
  const candidate = (deployment: string, changes: object = {}) => ({
    deployment,
    fill: { estimate: 0, quota: 1_000, added: 0, history: 0 },
    wantsScan: false,
    scannedAt: 0 as number | undefined,
    ...changes,
  });
  const filled = (estimate: number, added: number) => ({
    fill: { estimate, added, quota: 1_000, history: 0 },
  });

  it('is where the room of the last scan is used up first, and nowhere without need', () => {
    const now = 10_000;
    const next = (...all: ReturnType<typeof candidate>[]) => nextScan(all, now)?.deployment;
    assert.equal(next(candidate('idle')), undefined);
    assert.equal(next(candidate('little', filled(500, 10))), undefined);
    assert.equal(next(candidate('half', filled(500, 500)), candidate('more', filled(990, 490))), 'more');
    assert.equal(
      next(candidate('full', filled(1_000, 900)), candidate('never', { scannedAt: undefined })),
      'never',
    );
    assert.equal(next(candidate('delete', { wantsScan: true })), 'delete');
    assert.equal(next(candidate('just now', { wantsScan: true, scannedAt: now - 4_999 })), undefined);
  });

  it('comes to everybody who wishes it, though one fills up all the time', () => {
    const scannedAt = new Map([
      ['greedy', 0],
      ['modest', 0],
    ]);
    const seen: string[] = [];
    for (let now = 6_000; now < 120_000 && !seen.includes('modest'); now += 1_000) {
      const next = nextScan(
        [
          candidate('greedy', { ...filled(1_000, 900), scannedAt: scannedAt.get('greedy') }),
          candidate('modest', { wantsScan: true, scannedAt: scannedAt.get('modest') }),
        ],
        now,
      );
      if (next !== undefined) {
        seen.push(next.deployment);
        scannedAt.set(next.deployment, now);
      }
    }
    assert.deepEqual(seen.slice(0, 2), ['greedy', 'modest']);
  });

  it('takes at most a tenth of the time', () => {
    assert.equal(pauseAfterScan(10), 1_000);
    assert.equal(pauseAfterScan(2_000), 18_000);
  });
});

describe("The cluster's guard", () => {
  const quota = 1_000;
  it('stops puts at 80 % in use, before etcd does, and goes on below 75 %', () => {
    const guard = new ClusterGuard();
    guard.observe([{ size: 799, inUse: 799, quota }]);
    assert.equal(guard.admitPut(), undefined);
    guard.observe([
      { size: 400, inUse: 400, quota },
      { size: 800, inUse: 800, quota },
    ]);
    assert.equal(guard.admitPut()?.text, 'etcdserver: mvcc: database space exceeded');
    guard.observe([]);
    assert.equal(guard.isStopped, true, 'no news is no good news');
    guard.observe([{ size: 800, inUse: 760, quota }]);
    assert.equal(guard.isStopped, true);
    guard.observe([{ size: 800, inUse: 740, quota }]);
    assert.equal(guard.isStopped, false);
  });

  it('stops puts when the file alone is near the quota', () => {
    const guard = new ClusterGuard();
    guard.observe([{ size: 900, inUse: 10, quota }]);
    assert.equal(guard.isStopped, true);
  });
});
