import type { Fill } from './stored-bytes.js';

export interface ScanCandidate {
  readonly deployment: string;
  readonly fill: Fill;
  readonly wantsScan: boolean;
  /** When the last scan was seen, in milliseconds on the caller's clock; undefined when there was none. */
  readonly scannedAt: number | undefined;
}

export interface ScanPolicy {
  /** An instance is not scanned again sooner, in milliseconds. */
  readonly leastAge: number;
  /** And at the latest after this, if anything was put since. */
  readonly mostAge: number;
}

export const SCAN_POLICY: ScanPolicy = { leastAge: 5_000, mostAge: 3_600_000 };

/**
 * Which instance to scan next: first those that were never scanned, then those whose added bytes have used up the most
 * of the room that the last scan left, so that nobody is refused for overwriting; then the ones with deletes, then the
 * oldest.
 * @returns undefined when no scan is worth its cost now
 */
export function nextScan<C extends ScanCandidate>(
  candidates: Iterable<C>,
  now: number,
  policy = SCAN_POLICY,
): C | undefined {
  let best: C | undefined;
  let bestUrgency = 0;
  for (const candidate of candidates) {
    const urgency = urgencyOf(candidate, now, policy);
    if (urgency > bestUrgency) {
      best = candidate;
      bestUrgency = urgency;
    }
  }
  return best;
}

function urgencyOf({ fill, wantsScan, scannedAt }: ScanCandidate, now: number, policy: ScanPolicy): number {
  if (scannedAt === undefined) {
    return Number.POSITIVE_INFINITY;
  }
  const age = now - scannedAt;
  if (age < policy.leastAge) {
    return 0;
  }
  const room = Math.max(1, fill.quota - (fill.estimate - fill.added));
  const used = fill.added / room;
  const isDue = used >= 0.25 || wantsScan || (fill.added > 0 && age >= policy.mostAge);
  // Waiting counts too, so that a modest wish is met in the end whatever others do.
  return isDue ? used + (wantsScan ? 0.5 : 0) + age / policy.mostAge : 0;
}

/**
 * How long to pause after a scan, in milliseconds: scans take at most a tenth of one connection's time, and at least a
 * second lies between two.
 */
export function pauseAfterScan(tookMs: number): number {
  return Math.max(1_000, tookMs * 9);
}
