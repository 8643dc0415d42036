import assert from 'node:assert/strict';
import type { EtcdClient } from '../../src/etcd/client.js';
import { rangeOfPrefix } from '../../src/etcd/ranges.js';
import { keys } from '../../src/records/keys.js';
import { encodeMinute } from '../../src/usage/encoding.js';
import { Folding } from '../../src/usage/folding.js';
import { BUCKETS, COUNTERS, counterOf, LEVELS, levelOf, rowOf, type UsageRow } from '../../src/usage/row.js';
import { UsageSeries } from '../../src/usage/series.js';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { rootConnection } from '../support/root-connection.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A midnight. */
const START = Date.UTC(2026, 0, 10);
const silent = { info: () => undefined, warn: () => undefined };

/** So many writes, connections and stored bytes. */
function row(writes: number, connections = 1, stored = 100): UsageRow {
  const counters = Object.fromEntries(COUNTERS.map((name) => [name, name === 'writes' ? writes : 0]));
  const levels = Object.fromEntries(
    LEVELS.map((name) => [name, { connections, stored }[name as string] ?? 0]),
  );
  return rowOf(counters as never, new Array(BUCKETS.length + 1).fill(0), levels as never);
}

describe('The series of usage', () => {
  let broker: TestBroker;
  let client: EtcdClient;
  let deployment: string;

  before(async () => {
    broker = await startTestBroker();
    client = await rootConnection(broker);
    deployment = (await broker.provision('i')).body.dashboard_url.split('/').at(-1);
  });
  after(async () => {
    client?.close();
    await broker?.dispose();
  });
  beforeEach(async () => {
    for (const prefix of [keys.portalMinutes, keys.series]) {
      await client.kv.deleteRange(rangeOfPrefix(prefix));
    }
  });

  const write = (ms: number, entries: Record<string, UsageRow>, portal = 'p') =>
    client.kv.put({
      key: Buffer.from(keys.portalMinute(ms / 60_000, portal, 0)),
      value: encodeMinute(Object.entries(entries)),
    });
  const count = async (prefix: string) =>
    Number((await client.kv.range({ ...rangeOfPrefix(prefix), count_only: true })).count);
  const folding = () => new Folding(client, silent);
  const writes = async (series: UsageSeries, minutes: number, step: number, now: number) =>
    (await series.read(deployment, minutes, step, now)).map(({ minute, row: one }) => [
      (minute * 60_000 - START) / 60_000,
      counterOf(one, 'writes'),
    ]);

  it('tells minutes at once, of all portals together, and late ones too', async () => {
    const series = new UsageSeries(client);
    await write(START, { [deployment]: row(1, 2), ['0'.repeat(24)]: row(100) });
    await write(START, { [deployment]: row(2, 3) }, 'q');
    assert.deepEqual(await writes(series, 30, 1, START + 60_000), [[0, 3]]);
    assert.equal(await series.connections(deployment, START + 60_000), 5);
    await write(START + 60_000, { [deployment]: row(5) });
    assert.deepEqual(await writes(series, 30, 1, START + 120_000), [
      [0, 3],
      [1, 5],
    ]);
    await write(START + 60_000, { [deployment]: row(7) }, 'late');
    assert.deepEqual(await writes(series, 30, 5, START + 180_000), [[0, 15]]);
    assert.equal(await series.connections(deployment, START + HOUR_MS), 0);
  });

  it('is the same before and after an hour is folded, by whichever replica, and for a day after', async () => {
    for (let minute = 0; minute < 60; minute += 1) {
      await write(START + minute * 60_000, {
        [deployment]: row(minute, 1, minute),
        ['f'.repeat(24)]: row(1),
      });
      await write(START + minute * 60_000, { [deployment]: row(1) }, 'q');
    }
    const now = START + HOUR_MS + 4 * 60_000;
    const before = await writes(new UsageSeries(client), 180, 1, now);
    assert.equal(before.length, 60);
    assert.deepEqual(before[7], [7, 8]);
    await folding().look(START + HOUR_MS + 60_000);
    assert.equal(await count(keys.seriesOf(deployment)), 0, 'it was folded while minutes could still come');
    await Promise.all([folding().look(now), folding().look(now)]);
    assert.equal(await count(keys.seriesOf(deployment)), 1);
    assert.equal(await count(keys.seriesOf('f'.repeat(24))), 0, 'there is no such instance');
    assert.equal(await count(keys.seriesFolding), 0);
    assert.deepEqual(await writes(new UsageSeries(client), 180, 1, now), before);
    await client.kv.deleteRange(rangeOfPrefix(keys.portalMinutes));
    assert.deepEqual(await writes(new UsageSeries(client), 180, 1, now), before);
    // Nothing is folded twice.
    await folding().look(now);
    assert.deepEqual(await writes(new UsageSeries(client), 24 * 60, 60, now), [[0, 1_830]]);
  });

  it('is folded by quarters of an hour when a day is over', async () => {
    for (let hour = 20; hour < 25; hour += 1) {
      await write(START + hour * HOUR_MS + 5 * 60_000, { [deployment]: row(hour, hour) });
      await write(START + hour * HOUR_MS + 7 * 60_000, { [deployment]: row(1) });
      await folding().look(START + (hour + 1) * HOUR_MS + 4 * 60_000);
    }
    assert.equal(await count(`${keys.seriesOf(deployment)}q/`), 1);
    const now = START + 2 * DAY_MS;
    const week = await new UsageSeries(client).read(deployment, 7 * 24 * 60, 60, now);
    assert.deepEqual(
      week.map(({ row: one }) => [counterOf(one, 'writes'), levelOf(one, 'connections')]),
      [20, 21, 22, 23, 24].map((hour) => [hour + 1, hour]),
    );
    // The minutes of that day may go; the month knows it still.
    await client.kv.deleteRange(rangeOfPrefix(`${keys.seriesOf(deployment)}m/`));
    const later = await new UsageSeries(client).read(deployment, 30 * 24 * 60, 60, START + 20 * DAY_MS);
    assert.equal(later.length, 4);
  });

  it('what a replica left half folded is folded by another, and after a long pause it goes on from now', async () => {
    await write(START, { [deployment]: row(1) });
    await client.kv.put({ key: Buffer.from(keys.seriesFolding), value: Buffer.from('0') });
    const now = START + HOUR_MS + 4 * 60_000;
    await folding().look(now);
    assert.equal(await count(keys.seriesOf(deployment)), 0, 'it did not wait for the other');
    await client.kv.deleteRange({ key: Buffer.from(keys.seriesFolding) });
    await folding().look(now);
    assert.equal(await count(keys.seriesOf(deployment)), 1);
    const much = START + 9 * DAY_MS;
    await write(much - 2 * HOUR_MS, { [deployment]: row(4) });
    await folding().look(much);
    assert.equal(await count(keys.seriesOf(deployment)), 2);
  });

  it('goes with its instance', async () => {
    const own = (await broker.provision('gone')).body.dashboard_url.split('/').at(-1);
    await write(START, { [own]: row(1) });
    await folding().look(START + HOUR_MS + 4 * 60_000);
    assert.equal(await count(keys.seriesOf(own)), 1);
    assert.equal((await broker.deprovision('gone')).status, 200);
    assert.equal(await count(keys.seriesOf(own)), 0);
  });
});
