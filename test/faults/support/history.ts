/**
 * What tenants saw of some keys, and whether one etcd could have told it. Each key has one writer, which writes 1, 2, 3
 * and so on, each once; so a value says how many writes came before it. Times are of one clock, in milliseconds.
 */
export interface Seen {
  readonly kind: 'write' | 'read';
  readonly key: string;
  /** What was written, or read; 0 when there was nothing. */
  readonly value: number;
  /** etcd's revision of that write; 0 when it is not known, or there was none. */
  readonly modRevision: number;
  /** In the header of the answer. */
  readonly revision: number;
  readonly from: number;
  readonly to: number;
}

/**
 * Looks for what no linearizable register could have answered: a read must tell at least what was written, or read,
 * before it began, and no more than what was begun before it ended. Revisions must order the writes in the same way,
 * and must never go back in time.
 * @param begun when each value's first attempt was sent, by key: `begun.get(key)[value - 1]`
 * @returns a line for each fault, empty when there is none
 */
export function faultsOf(history: readonly Seen[], begun: ReadonlyMap<string, readonly number[]>): string[] {
  const faults: string[] = [];
  const keys = new Set(history.map(({ key }) => key));
  for (const key of keys) {
    const own = history.filter((one) => one.key === key);
    faults.push(...orderFaults(key, own), ...timeFaults(key, own, begun.get(key) ?? []));
  }
  return [...faults, ...revisionFaults(history)];
}

/** One revision for each value, rising with it. */
function orderFaults(key: string, own: readonly Seen[]): string[] {
  const faults: string[] = [];
  const revisions = new Map<number, number>();
  for (const { value, modRevision } of own) {
    if (modRevision === 0) {
      continue;
    }
    const known = revisions.get(value);
    if (known !== undefined && known !== modRevision) {
      faults.push(`${key}: ${value} was written at the revisions ${known} and ${modRevision}`);
    }
    revisions.set(value, modRevision);
  }
  const sorted = [...revisions].sort(([one], [other]) => one - other);
  for (const [index, [value, revision]] of sorted.entries()) {
    const before = sorted[index - 1];
    if (before !== undefined && before[1] >= revision) {
      faults.push(`${key}: ${value} at revision ${revision} came before ${before[0]} at ${before[1]}`);
    }
  }
  return faults;
}

/** What was known before a call began is known to it. */
function timeFaults(key: string, own: readonly Seen[], begun: readonly number[]): string[] {
  const faults: string[] = [];
  const byBegin = [...own].sort((one, other) => one.from - other.from);
  const byEnd = [...own].sort((one, other) => one.to - other.to);
  let known = 0;
  let ended = 0;
  for (const seen of byBegin) {
    while (ended < byEnd.length && (byEnd[ended] as Seen).to < seen.from) {
      known = Math.max(known, (byEnd[ended] as Seen).value);
      ended += 1;
    }
    if (seen.kind === 'read' && seen.value < known) {
      faults.push(`${key}: a read told ${seen.value} after ${known} was known`);
    }
    if (seen.value > 0 && !((begun[seen.value - 1] ?? Number.POSITIVE_INFINITY) <= seen.to)) {
      faults.push(`${key}: ${seen.value} was told before it was written`);
    }
  }
  return faults;
}

/** The revision in a header is at least what any call had that ended before. */
function revisionFaults(history: readonly Seen[]): string[] {
  const faults: string[] = [];
  const byEnd = [...history].sort((one, other) => one.to - other.to);
  let known = 0;
  let ended = 0;
  for (const seen of [...history].sort((one, other) => one.from - other.from)) {
    while (ended < byEnd.length && (byEnd[ended] as Seen).to < seen.from) {
      known = Math.max(known, (byEnd[ended] as Seen).revision);
      ended += 1;
    }
    if (seen.revision < known || seen.revision < seen.modRevision) {
      faults.push(`${seen.key}: a header told revision ${seen.revision} after ${known} was known`);
    }
  }
  return faults;
}
