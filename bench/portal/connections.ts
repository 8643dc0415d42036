import { perSecond, type Row, spread } from '../row.js';
import { median, sleep } from '../statistics.js';
import type { House } from './house.js';
import { residentBytes } from './processes.js';

const KIB = 1_024;
const REACH_KIB = 64;
const REACH_WATCH = 0.7;
const WATCH_CONNECTIONS = 10;
const WRITERS = 4;

/** What connections cost that say nothing: each has made one call. */
export async function measureIdle(
  { load, portalPid }: House,
  { idle, settleSeconds }: { idle: number; settleSeconds: number },
): Promise<Row> {
  // The first ones make the code and the buffers that all share.
  await load.openIdle({ way: 'portal', count: idle / 5 });
  await load.closeIdle();
  const before = await settledBytes(portalPid, settleSeconds);
  await load.openIdle({ way: 'portal', count: idle });
  const after = await settledBytes(portalPid, settleSeconds);
  const open = await load.closeIdle();
  const each = (after - before) / idle / KIB;
  return {
    what: `memory (RSS) of the portal for each of ${idle} idle connections`,
    measured: `${(after / KIB ** 2).toFixed(0)} MB, ${open} open`,
    floor: `${(before / KIB ** 2).toFixed(0)} MB with none`,
    figure: `${each.toFixed(1)} KB`,
    reach: `at most ${REACH_KIB} KB`,
    isReached: each <= REACH_KIB && open === idle,
  };
}

/** Many watches of one prefix, each a stream of its own; who writes is behind the same way. */
export async function measureWatchers(
  { load }: House,
  { watchers, puts, watchCycles }: { watchers: number; puts: number; watchCycles: number },
): Promise<Row> {
  const rates = { direct: [] as number[], portal: [] as number[] };
  const run = (way: 'direct' | 'portal', count: number) =>
    load.watch({ way, watchers, connections: WATCH_CONNECTIONS, puts: count, atOnce: WRITERS });
  for (const way of ['direct', 'portal'] as const) {
    await run(way, Math.ceil(puts / 5));
  }
  for (let cycle = 0; cycle < watchCycles; cycle += 1) {
    for (const way of Math.random() < 0.5
      ? (['direct', 'portal'] as const)
      : (['portal', 'direct'] as const)) {
      rates[way].push(await run(way, puts));
    }
  }
  const ratio = median(rates.portal.map((rate, cycle) => rate / (rates.direct[cycle] as number)));
  return {
    what: `${watchers} watchers of one prefix, events a second`,
    measured: perSecond(median(rates.portal)),
    floor: `${perSecond(median(rates.direct))} (direct)`,
    figure: `${ratio.toFixed(2)} of direct`,
    reach: `at least ${REACH_WATCH}`,
    isReached: ratio >= REACH_WATCH,
    floorSpread: spread(rates.direct),
  };
}

/** The least of several looks, one a second: garbage goes in its own time. */
async function settledBytes(pid: number, seconds: number): Promise<number> {
  const seen: number[] = [];
  for (let second = 0; second < seconds; second += 1) {
    await sleep(1_000);
    seen.push(residentBytes(pid));
  }
  return Math.min(...seen);
}
