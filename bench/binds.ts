import type { BareCluster } from './bare-cluster.js';
import type { BrokerProcess } from './broker-process.js';
import { ms, perSecond, type Row, spread, times } from './row.js';
import { inParallel, median, timed } from './statistics.js';

const AT_ONCE = 32;

/** In milliseconds. */
export interface BindTimes {
  /** The middle times of one bind and of the four bare calls. */
  bind: number;
  floor: number;
  /** The middle of what a bind took longer than the bare calls beside it. */
  added: number;
  floorSpread: number;
}

/** Numbers everything that is made here, so that no name comes twice. */
let made = 0;

/**
 * Times binds and bare calls in turns, one at a time. What was made is removed before the next turn, so both see
 * the same number of users.
 */
export async function timeBinds(
  broker: BrokerProcess,
  bare: BareCluster,
  instance: string,
  turns: number,
): Promise<BindTimes> {
  const binds: number[] = [];
  const floors: number[] = [];
  const turnBind = async () => {
    made += 1;
    const name = `single-${made}`;
    binds.push(await timed(() => broker.bind(instance, name)));
    await broker.unbind(instance, name);
  };
  const turnFloor = async () => {
    made += 1;
    const name = `bare-${made}`;
    floors.push(await timed(() => bare.grant(name)));
    await bare.remove(name);
  };
  for (let turn = 0; turn < turns; turn += 1) {
    const order = turn % 2 === 0 ? [turnFloor, turnBind] : [turnBind, turnFloor];
    for (const one of order) {
      await one();
    }
  }
  const added = binds.map((time, turn) => time - (floors[turn] as number));
  return { bind: median(binds), floor: median(floors), added: median(added), floorSpread: spread(floors) };
}

export function oneAtATime({ bind, floor, floorSpread }: BindTimes): Row {
  const ratio = bind / floor;
  return {
    what: 'bind, one at a time, p50',
    measured: ms(bind),
    floor: `${ms(floor)} (the four bare auth calls with etcd3)`,
    figure: times(ratio),
    reach: 'at most 1.15 times',
    isReached: ratio <= 1.15,
    floorSpread,
  };
}

/** Binds and bare calls, 32 at once, in rounds; and what a bind costs the broker's process. */
export async function manyAtOnce(
  broker: BrokerProcess,
  bare: BareCluster,
  instances: readonly string[],
  rounds: number,
  aRound: number,
): Promise<Row[]> {
  const binds: number[] = [];
  let cpuSeconds = 0;
  const floors: number[] = [];
  const place = (index: number) => instances[index % instances.length] as string;
  const roundOfBinds = async () => {
    made += 1;
    const name = (index: number) => `many-${made}-${index}`;
    const cpuBefore = await broker.cpuSeconds();
    const took = await timed(() =>
      inParallel(aRound, AT_ONCE, (index) => broker.bind(place(index), name(index))),
    );
    cpuSeconds += (await broker.cpuSeconds()) - cpuBefore;
    binds.push((aRound / took) * 1_000);
    await inParallel(aRound, AT_ONCE, (index) => broker.unbind(place(index), name(index)));
  };
  const roundOfFloors = async () => {
    made += 1;
    const name = (index: number) => `bare-many-${made}-${index}`;
    const took = await timed(() => inParallel(aRound, AT_ONCE, (index) => bare.grant(name(index))));
    floors.push((aRound / took) * 1_000);
    await inParallel(aRound, AT_ONCE, (index) => bare.remove(name(index)));
  };
  for (let round = 0; round < rounds; round += 1) {
    const order = round % 2 === 0 ? [roundOfFloors, roundOfBinds] : [roundOfBinds, roundOfFloors];
    for (const one of order) {
      await one();
    }
  }
  const ratio = median(binds.map((value, index) => value / (floors[index] as number)));
  const cpuMs = (cpuSeconds * 1_000) / (rounds * aRound);
  const floorSpread = spread(floors);
  return [
    {
      what: `bind, ${AT_ONCE} at once, binds a second`,
      measured: perSecond(median(binds)),
      floor: `${perSecond(median(floors))} (the same four calls, ${AT_ONCE} at once)`,
      figure: ratio.toFixed(2),
      reach: 'at least 1.0',
      isReached: ratio >= 1,
      floorSpread,
    },
    {
      what: `CPU of the broker for each bind, ${AT_ONCE} at once`,
      measured: ms(cpuMs),
      floor: 'none',
      figure: ms(cpuMs),
      reach: 'at most 1.1 ms',
      isReached: cpuMs <= 1.1,
      floorSpread,
    },
  ];
}

/** What the broker adds to the four calls must not grow with the number of bindings. */
export function growth(series: readonly { bindings: number; times: BindTimes }[]): Row {
  const added = series.map(({ bindings, times: { added } }) => ({ bindings, ms: added }));
  const [first, ...rest] = added;
  if (first === undefined) {
    throw new RangeError('Nothing was measured');
  }
  const worst = Math.max(...rest.map((one) => one.ms / first.ms - 1));
  return {
    what: `bind p50 less its floor at ${added.map(({ bindings }) => bindings).join(', ')} bindings`,
    measured: rest.map((one) => ms(one.ms)).join(', '),
    floor: `${ms(first.ms)} at 0 (bind / floor: ${series
      .map(({ times: { bind, floor } }) => `${bind.toFixed(1)} / ${floor.toFixed(1)}`)
      .join(', ')} ms)`,
    figure: `${worst >= 0 ? '+' : ''}${(worst * 100).toFixed(0)} %`,
    reach: 'grows by less than 30 %',
    isReached: worst < 0.3,
  };
}
