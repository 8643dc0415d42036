import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import type { BackupKind } from '../../src/backups/manifest.js';
import { type Dated, dueKind, outdated, slotOf } from '../../src/backups/schedule.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const ID = 'd'.repeat(24);
/** The deployment's time of day, on some day. */
const SLOT = Date.UTC(2026, 0, 5) + slotOf(ID);

const backup = (kind: BackupKind, at: number): Dated => ({
  backup_id: randomBytes(12).toString('hex'),
  kind,
  created_at: new Date(at).toISOString(),
});

describe('The schedule of backups', () => {
  it('spreads deployments over the day', () => {
    const slots = Array.from({ length: 2_400 }, () => slotOf(randomBytes(12).toString('hex')) / HOUR);
    for (let hour = 0; hour < 24; hour += 1) {
      const count = slots.filter((slot) => Math.floor(slot) === hour).length;
      assert.ok(count > 50 && count < 150, `${count} in hour ${hour}`);
    }
    assert.ok(slots.every((slot) => slot >= 0 && slot < 24));
  });

  it('has one backup a day, the month’s and the week’s among them, over a year', () => {
    const made: Dated[] = [];
    for (let now = SLOT - 3 * HOUR; now < SLOT + 364 * DAY; now += HOUR) {
      const kind = dueKind(ID, made, SLOT - 4 * HOUR, now);
      if (kind !== undefined) {
        made.push(backup(kind, now + 60_000));
      }
    }
    const count = (kind: BackupKind) => made.filter((one) => one.kind === kind).length;
    assert.deepEqual([made.length, count('monthly'), count('weekly')], [364, 13, 39]);
  });

  it('has none before the first time of day that an instance lives through', () => {
    assert.equal(dueKind(ID, [], SLOT + HOUR, SLOT + 2 * HOUR), undefined);
    assert.equal(dueKind(ID, [], SLOT + HOUR, SLOT + DAY - 1), undefined);
    assert.equal(dueKind(ID, [], SLOT + HOUR, SLOT + DAY), 'monthly');
  });

  it('makes up for one that was missed, once', () => {
    const made = [backup('monthly', SLOT)];
    const later = SLOT + 3 * DAY + 20 * HOUR;
    assert.equal(dueKind(ID, made, 0, later), 'daily');
    made.push(backup('daily', later));
    assert.equal(dueKind(ID, made, 0, later + HOUR), undefined);
    assert.equal(dueKind(ID, made, 0, SLOT + 4 * DAY), 'daily');
  });

  it('does not count what was asked for', () => {
    assert.equal(
      dueKind(ID, [backup('on_demand', SLOT + 1), backup('before_restore', SLOT + 2)], 0, SLOT + HOUR),
      'monthly',
    );
  });
});

describe('What becomes of old backups', () => {
  const grace = 30 * DAY;
  const now = SLOT + 400 * DAY;
  const gone = (list: Dated[], isGone = false) => outdated(list, isGone, grace, now);

  it('each kind has its time', () => {
    const newest = backup('daily', now - HOUR);
    for (const [kind, days] of [
      ['daily', 7],
      ['weekly', 28],
      ['monthly', 92],
      ['before_restore', 7],
      ['final', 30],
    ] as const) {
      const [young, old] = [backup(kind, now - days * DAY + HOUR), backup(kind, now - days * DAY - HOUR)];
      assert.deepEqual(gone([old, young, newest]), [old], kind);
    }
  });

  it('of those on demand the latest stays, whatever its age', () => {
    const [latest, older, oldest] = [300, 301, 302].map((days) => backup('on_demand', now - days * DAY));
    assert.deepEqual(gone([oldest, latest, older, backup('daily', now)] as Dated[]), [older, oldest]);
  });

  it('the last one stays as long as its instance does', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.constantFrom<BackupKind>('daily', 'weekly', 'monthly', 'on_demand', 'final', 'before_restore'),
            fc.nat(900),
          ),
          { minLength: 1 },
        ),
        (entries) => {
          const list = entries.map(([kind, days]) => backup(kind, now - days * DAY));
          const removed = new Set(gone(list));
          const left = list.filter((one) => !removed.has(one));
          const newest = Math.max(...list.map(({ created_at }) => Date.parse(created_at)));
          assert.ok(left.some(({ created_at }) => Date.parse(created_at) === newest));
          assert.deepEqual(gone(left), []);
        },
      ),
    );
  });

  it('all of a deleted instance’s stay for the time of grace, and no longer', () => {
    const [young, old] = [backup('final', now - 29 * DAY), backup('daily', now - 31 * DAY)];
    assert.deepEqual(gone([young, old], true), [old]);
    assert.deepEqual(outdated([young], true, 0, now), [young]);
  });
});
