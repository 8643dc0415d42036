import { hash } from 'node:crypto';
import type { BackupKind, BackupManifest } from './manifest.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** As Compose kept them; see docs/backups.md. */
const KEPT_MS: Readonly<Record<Exclude<BackupKind, 'on_demand' | 'final'>, number>> = {
  daily: 7 * DAY_MS,
  weekly: 28 * DAY_MS,
  monthly: 92 * DAY_MS,
  before_restore: 7 * DAY_MS,
};
const WEEK_MS = 7 * DAY_MS;
/** The shortest that a month has. */
const MONTH_MS = 28 * DAY_MS;

export type Dated = Pick<BackupManifest, 'backup_id' | 'kind' | 'created_at'>;

const timeOf = ({ created_at }: Dated) => Date.parse(created_at);

/** When in the day a deployment's backup is due, in milliseconds: spread over all of it. */
export function slotOf(deploymentId: string): number {
  return (hash('sha256', deploymentId, 'buffer').readUInt32BE(0) / 2 ** 32) * DAY_MS;
}

/**
 * Which backup by the schedule is due now. One is due each day at the deployment's time; it is the month's or the
 * week's when that one is missing. One that was missed is due until it is made up for.
 * @param since when the instance was made: its first is due at the first slot after that, all in milliseconds
 * @returns undefined when none is
 */
export function dueKind(
  deploymentId: string,
  existing: readonly Dated[],
  since: number,
  now: number,
): 'daily' | 'weekly' | 'monthly' | undefined {
  const slot = slotOf(deploymentId);
  const latestSlot = Math.floor((now - slot) / DAY_MS) * DAY_MS + slot;
  const scheduled = existing.filter(
    ({ kind }) => kind === 'daily' || kind === 'weekly' || kind === 'monthly',
  );
  const latest = Math.max(since, ...scheduled.map(timeOf));
  if (latest >= latestSlot) {
    return undefined;
  }
  const newest = (kinds: readonly BackupKind[]) =>
    Math.max(Number.NEGATIVE_INFINITY, ...scheduled.filter(({ kind }) => kinds.includes(kind)).map(timeOf));
  // Half a slot of grace, so that a month's backup does not wander through the day.
  if (now - newest(['monthly']) >= MONTH_MS - DAY_MS / 2) {
    return 'monthly';
  }
  return now - newest(['weekly', 'monthly']) >= WEEK_MS - DAY_MS / 2 ? 'weekly' : 'daily';
}

/**
 * Which backups of one deployment have had their time.
 * @param isGone whether the instance is deleted; as long as it is there, its last backup stays whatever its age
 * @param graceMs for how long a deleted instance can be brought back
 */
export function outdated<B extends Dated>(
  existing: readonly B[],
  isGone: boolean,
  graceMs: number,
  now: number,
): B[] {
  const byAge = [...existing].sort((one, other) => timeOf(other) - timeOf(one));
  const [newest] = byAge;
  const latestOnDemand = byAge.find(({ kind }) => kind === 'on_demand');
  return byAge.filter((backup) => {
    const age = now - timeOf(backup);
    if (isGone) {
      // Nobody makes new ones, so the last ones together are what can be brought back.
      return age > Math.max(graceMs, 0);
    }
    if (backup === newest) {
      return false;
    }
    if (backup.kind === 'on_demand') {
      return backup !== latestOnDemand;
    }
    return age > (backup.kind === 'final' ? graceMs : KEPT_MS[backup.kind]);
  });
}
