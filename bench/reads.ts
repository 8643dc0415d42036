import type { BareCluster } from './bare-cluster.js';
import { type BrokerProcess, bindingPath } from './broker-process.js';
import { ms, type Row, spread, times } from './row.js';
import { median, timed } from './statistics.js';

/** Fetches of a binding and of its last operation, in turns with one bare get, one at a time. */
export async function reads(
  broker: BrokerProcess,
  bare: BareCluster,
  instance: string,
  binding: string,
  turns: number,
): Promise<Row[]> {
  const address = bindingPath(instance, binding);
  const key = `/_broker/v1/bindings/${instance}/${binding}`;
  if ((await bare.client.get(key).string()) === null) {
    throw new Error(`There is no record ${key}`);
  }
  const subjects = {
    floor: () => bare.client.get(key).buffer(),
    binding: () => broker.expect(200, 'GET', address),
    operation: () => broker.expect(200, 'GET', `${address}/last_operation`),
  };
  const seen: Record<keyof typeof subjects, number[]> = { floor: [], binding: [], operation: [] };
  const names = Object.keys(subjects) as (keyof typeof subjects)[];
  for (let turn = 0; turn < turns; turn += 1) {
    for (let step = 0; step < names.length; step += 1) {
      const name = names[(turn + step) % names.length] as keyof typeof subjects;
      seen[name].push(await timed(subjects[name]));
    }
  }
  const floor = median(seen.floor);
  const row = (what: string, values: number[]): Row => {
    const ratio = median(values) / floor;
    return {
      what,
      measured: ms(median(values)),
      floor: `${ms(floor)} (one bare get with etcd3)`,
      figure: times(ratio),
      reach: 'at most 1.2 times',
      isReached: ratio <= 1.2,
      floorSpread: spread(seen.floor),
    };
  };
  return [row('fetch binding, p50', seen.binding), row('last_operation, p50', seen.operation)];
}
