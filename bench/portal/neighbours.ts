import { ms, type Row, spread, times } from '../row.js';
import { median, timed } from '../statistics.js';
import type { House } from './house.js';

/** What one tenant does at full speed. */
const FULL_SPEED = { calls: ['get', 'put'], atOnce: 128, connections: 1 } as const;
/** What the other tenant does, whose times are measured. */
const MODEST = { calls: ['get', 'put'], atOnce: 2, connections: 1 } as const;

interface FairEffort {
  fairCycles: number;
  fairMs: number;
}

/** The p99 of a tenant's calls alone and while another goes at full speed, in turns; and the same without a portal. */
export async function measureFairness(house: House, effort: FairEffort): Promise<Row[]> {
  return [await fairness(house, 'portal', effort), await fairness(house, 'direct', effort)];
}

async function fairness(
  { load, other }: House,
  way: 'portal' | 'direct',
  { fairCycles, fairMs }: FairEffort,
): Promise<Row> {
  const alone: number[] = [];
  const beside: number[] = [];
  const [busy, modest] = [
    { ...FULL_SPEED, way },
    { ...MODEST, way },
  ];
  await Promise.all([load.run({ ...busy, ms: fairMs }), other.run({ ...modest, ms: fairMs })]);
  for (let cycle = 0; cycle < fairCycles; cycle += 1) {
    alone.push((await other.run({ ...modest, ms: fairMs })).p99);
    // The load begins first and ends last.
    const [, { p99 }] = await Promise.all([
      load.run({ ...busy, ms: fairMs + 400 }),
      after(200, () => other.run({ ...modest, ms: fairMs })),
    ]);
    beside.push(p99);
  }
  const ratio = median(beside.map((time, cycle) => time / (alone[cycle] as number)));
  return {
    what: `a tenant's p99 (gets and puts, ${MODEST.atOnce} at once) while another has ${FULL_SPEED.atOnce} at once${way === 'direct' ? ', both at etcd itself' : ''}`,
    measured: ms(median(beside)),
    floor: `${ms(median(alone))} (alone)`,
    figure: times(ratio),
    ...(way === 'direct'
      ? { reach: 'none', isReached: true }
      : { reach: 'at most 1.5 times', isReached: ratio <= 1.5 }),
    floorSpread: spread(alone),
  };
}

/** Binds one at a time while a tenant goes at full speed, and while nobody does, in turns. */
export async function measureBinds(
  { broker, load }: House,
  { bindCycles, binds }: { bindCycles: number; binds: number },
): Promise<Row> {
  const quiet: number[] = [];
  const busy: number[] = [];
  let made = 0;
  const p50 = async (): Promise<number> => {
    const took: number[] = [];
    for (let index = 0; index < binds; index += 1) {
      made += 1;
      const name = `bound-${made}`;
      took.push(await timed(() => broker.bind('second', name)));
      await broker.unbind('second', name);
    }
    return median(took);
  };
  await p50();
  for (let cycle = 0; cycle < bindCycles; cycle += 1) {
    const before = await p50();
    quiet.push(before);
    let isOver = false;
    const running = (async () => {
      while (!isOver) {
        await load.run({ ...FULL_SPEED, way: 'portal', atOnce: 32, ms: 300 });
      }
    })();
    try {
      busy.push(await after(200, p50));
    } finally {
      isOver = true;
      await running;
    }
  }
  const ratio = median(busy.map((time, cycle) => time / (quiet[cycle] as number)));
  return {
    what: 'bind, one at a time, p50, while a tenant has 32 gets and puts at once',
    measured: ms(median(busy)),
    floor: `${ms(median(quiet))} (while nobody has any)`,
    figure: times(ratio),
    reach: 'at most 2 times',
    isReached: ratio <= 2,
    floorSpread: spread(quiet),
  };
}

async function after<T>(milliseconds: number, work: () => Promise<T>): Promise<T> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  return work();
}
