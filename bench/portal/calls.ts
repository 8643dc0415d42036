import { perSecond, type Row, spread } from '../row.js';
import { median } from '../statistics.js';
import { type House, WAYS, type WayName } from './house.js';
import { cpuSeconds } from './processes.js';

const AT_ONCE = [1, 8, 32, 128] as const;
/** Where the processor time of a request is judged, in microseconds. */
const CPU_AT = 32;
const CPU_REACH = 110;

export interface Cell {
  readonly call: 'get' | 'put';
  readonly atOnce: number;
  readonly connections: number;
}

export const CELLS: readonly Cell[] = (['get', 'put'] as const).flatMap((call) => [
  ...AT_ONCE.map((atOnce) => ({ call, atOnce, connections: 1 })),
  { call, atOnce: 32, connections: 8 },
]);

interface Figure {
  readonly perSecond: number;
  readonly count: number;
  readonly cpuSeconds: number;
}

type Cycle = Record<WayName, Figure>;

export interface CallsEffort {
  readonly cycles: number;
  readonly cellMs: number;
}

/** Gets and puts on all ways, in cycles in which each cell is measured once on each way, in an order at random. */
export async function measureCalls(
  house: House,
  { cycles, cellMs }: CallsEffort,
  cells: readonly Cell[] = CELLS,
): Promise<Row[]> {
  const measured = new Map<Cell, Cycle[]>(cells.map((cell) => [cell, []]));
  await cycle(house, cells, cellMs); // warms everything up
  for (let number = 0; number < cycles; number += 1) {
    for (const [cell, figures] of await cycle(house, cells, cellMs)) {
      measured.get(cell)?.push(figures);
    }
  }
  return [...measured].flatMap(([cell, figures]) => rowsOf(cell, figures));
}

async function cycle(house: House, cells: readonly Cell[], ms: number): Promise<Map<Cell, Cycle>> {
  const figures = new Map<Cell, Cycle>();
  for (const cell of shuffled(cells)) {
    const one = {} as Cycle;
    for (const way of shuffled(WAYS)) {
      one[way] = await measure(house, way, cell, ms);
    }
    figures.set(cell, one);
  }
  return figures;
}

async function measure(house: House, way: WayName, cell: Cell, ms: number): Promise<Figure> {
  const pid = way === 'portal' ? house.portalPid : house.proxyPid;
  const { call, atOnce, connections } = cell;
  const before = cpuSeconds(pid);
  const { count, seconds } = await house.load.run({ way, calls: [call], atOnce, connections, ms });
  return { perSecond: count / seconds, count, cpuSeconds: cpuSeconds(pid) - before };
}

function rowsOf({ call, atOnce, connections }: Cell, cycles: readonly Cycle[]): Row[] {
  const what = `${call}, ${atOnce} at once${connections > 1 ? ` over ${connections} connections` : ''}`;
  const rates = (way: WayName) => cycles.map((one) => one[way].perSecond);
  const ratio = (way: WayName, to: WayName) =>
    median(cycles.map((one) => one[way].perSecond / one[to].perSecond));
  const toDirect = ratio('portal', 'direct');
  const toProxy = ratio('portal', 'grpc-proxy');
  const rate = (way: WayName) => perSecond(median(rates(way)));
  const floorSpread = spread(rates('direct'));
  const cpu = (way: WayName) => {
    const sum = (of: keyof Figure) => cycles.reduce((total, one) => total + one[way][of], 0);
    return (sum('cpuSeconds') * 1e6) / sum('count');
  };
  const ours = cpu('portal');
  const proxys = `${cpu('grpc-proxy').toFixed(0)} µs (grpc-proxy)`;
  const least = atOnce >= 32 ? 0.75 : atOnce === 1 ? 0.6 : undefined;
  return [
    {
      what: `${what}: through the portal`,
      measured: rate('portal'),
      floor: `${rate('direct')} (direct)`,
      figure: `${toDirect.toFixed(2)} of direct`,
      reach: least === undefined ? 'none' : `at least ${least.toFixed(2)}`,
      isReached: least === undefined || toDirect >= least,
      floorSpread,
    },
    {
      what: `${what}: against grpc-proxy`,
      measured: rate('portal'),
      floor: `${rate('grpc-proxy')} (grpc-proxy, ${ratio('grpc-proxy', 'direct').toFixed(2)} of direct)`,
      figure: `${toProxy.toFixed(2)} of grpc-proxy`,
      reach: 'ahead',
      isReached: toProxy > 1,
      floorSpread,
    },
    {
      what: `${what}: CPU of the portal for each`,
      measured: `${ours.toFixed(0)} µs`,
      floor: proxys,
      figure: `${ours.toFixed(0)} µs`,
      reach: atOnce === CPU_AT ? `at most ${CPU_REACH} µs` : 'none',
      isReached: atOnce !== CPU_AT || ours <= CPU_REACH,
      floorSpread,
    },
  ];
}

function shuffled<T>(values: readonly T[]): T[] {
  return values
    .map((value) => ({ value, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}
