/**
 * What one instance used in a time: counts of it, how many of its calls took how long, and levels as they were. It is a
 * plain list of whole numbers, in the order below, so that a minute of a thousand instances costs little.
 */
export type UsageRow = number[];

/** Counts of a time. Calls that ended, by kind; those of them that failed; bytes of messages. */
export const COUNTERS = [
  'reads',
  'writes',
  'leases',
  'watches',
  'others',
  'errors',
  'received',
  'sent',
] as const;
/** Upper bounds in seconds of how long calls took from the whole request to the answer, streams left out. */
export const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 4] as const;
/** As they were at the end of a minute; over a longer time the highest. Bytes, and counts. */
export const LEVELS = ['connections', 'streams', 'stored', 'history', 'keys'] as const;

export type Counter = (typeof COUNTERS)[number];
export type Level = (typeof LEVELS)[number];

const FIRST_BUCKET = COUNTERS.length;
const FIRST_LEVEL = FIRST_BUCKET + BUCKETS.length + 1;
export const ROW_LENGTH = FIRST_LEVEL + LEVELS.length;

/** Of what several portals say of the same minute, these add up; of the others each portal says the whole. */
const ADDED_LEVELS: ReadonlySet<Level> = new Set(['connections', 'streams']);
/** Which numbers of a row add up, in its order; of the others the highest counts. */
const ADDED_OF_TIMES = Array.from({ length: ROW_LENGTH }, (_, index) => index < FIRST_LEVEL);
const ADDED_OF_PORTALS = ADDED_OF_TIMES.map(
  (isCount, index) => isCount || ADDED_LEVELS.has(LEVELS[index - FIRST_LEVEL] as Level),
);

export function emptyRow(): UsageRow {
  return new Array<number>(ROW_LENGTH).fill(0);
}

export function rowOf(
  counters: Readonly<Record<Counter, number>>,
  buckets: readonly number[],
  levels: Readonly<Record<Level, number>>,
): UsageRow {
  return [...COUNTERS.map((name) => counters[name]), ...buckets, ...LEVELS.map((name) => levels[name])];
}

export function counterOf(row: UsageRow, name: Counter): number {
  return row[COUNTERS.indexOf(name)] as number;
}

export function levelOf(row: UsageRow, name: Level): number {
  return row[FIRST_LEVEL + LEVELS.indexOf(name)] as number;
}

/** Adds to a row what another portal says of the same minute. */
export function addPortal(row: UsageRow, other: UsageRow): void {
  add(row, other, ADDED_OF_PORTALS);
}

/** Adds to a row what comes right after its time. */
export function addTime(row: UsageRow, other: UsageRow): void {
  add(row, other, ADDED_OF_TIMES);
}

function add(row: UsageRow, other: UsageRow, isAdded: readonly boolean[]): void {
  for (let index = 0; index < ROW_LENGTH; index += 1) {
    const mine = row[index] as number;
    const theirs = other[index] as number;
    row[index] = isAdded[index] ? mine + theirs : Math.max(mine, theirs);
  }
}

/**
 * How long the given share of the calls took at most, in seconds, as far as the buckets tell: within one it is taken as
 * evenly spread.
 * @returns undefined when there were none
 */
export function quantile(row: UsageRow, share: number): number | undefined {
  const buckets = row.slice(FIRST_BUCKET, FIRST_LEVEL);
  const all = buckets.reduce((sum, count) => sum + count, 0);
  if (all === 0) {
    return undefined;
  }
  let before = 0;
  let index = 0;
  while (before + (buckets[index] as number) < all * share) {
    before += buckets[index] as number;
    index += 1;
  }
  const lower = BUCKETS[index - 1] ?? 0;
  const upper = BUCKETS[index] ?? lower; // beyond the last bound nothing more is known
  return lower + ((upper - lower) * (all * share - before)) / (buckets[index] as number);
}
