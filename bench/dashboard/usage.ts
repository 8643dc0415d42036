import type { EtcdClient } from '../../src/etcd/client.js';
import { MinuteWriter } from '../../src/portal/metrics/minutes.js';
import { Tallies } from '../../src/portal/metrics/tallies.js';
import { keys } from '../../src/records/keys.js';
import { Folding } from '../../src/usage/folding.js';
import { QUARTERS_KEPT_DAYS } from '../../src/usage/series.js';
import { HOURS_A_DAY, MINUTE_MS, MINUTES_AN_HOUR } from '../../src/usage/times.js';
import { cpuSeconds } from '../portal/processes.js';
import type { Row } from '../row.js';
import { median } from '../statistics.js';

const INSTANCES = 1_000;
const PORTALS = 2;
/** Calls of an instance in a minute, at each portal, on the average. */
const CALLS_A_MINUTE = 60;
const HOUR_MS = MINUTES_AN_HOUR * MINUTE_MS;
const REACH = 0.01;
const KINDS = ['Range', 'Range', 'Range', 'Put', 'Txn', 'LeaseKeepAlive'];
const silent = { info: () => undefined, warn: () => undefined };

/**
 * The processor time of a day's collection: what two portals write of it minute by minute, and a broker folds. The
 * clock is turned, so that a day takes a minute or two.
 * @param etcdPid its process counts too
 */
export async function measureUsage(client: EtcdClient, etcdPid: number, hours: number): Promise<Row[]> {
  const deployments = Array.from({ length: INSTANCES }, (_, index) => index.toString(16).padStart(24, '0'));
  for (const deployment of deployments) {
    await client.kv.put({ key: Buffer.from(`${keys.deployments}${deployment}`), value: Buffer.from('""') });
  }
  // From a midnight on, so that the day's end is in it.
  const startAt = Date.UTC(2026, 0, 10);
  let now = startAt;
  const portals = Array.from({ length: PORTALS }, (_, index) => {
    const tallies = new Tallies();
    const own = deployments.map((deployment) => tallies.use(deployment));
    const budgets = {
      *levels() {
        for (const deployment of deployments) {
          const bytes = Math.floor(Math.random() * 2 ** 28);
          yield [deployment, { estimate: bytes, quota: 2 ** 28, added: 0, history: bytes }, 1_000] as [
            string,
            { estimate: number; quota: number; added: number; history: number },
            number,
          ];
        }
      },
    };
    const parts = { client, portal: `portal-${index}`, active: [], budgets, tallies, log: silent };
    return { own, writer: new MinuteWriter({ ...parts, now: () => now }) };
  });
  const folding = new Folding(client, silent);
  await client.kv.put({
    key: Buffer.from(keys.seriesFolded),
    value: Buffer.from(String(startAt / HOUR_MS - 1)),
  });
  const spent = { counting: 0, writing: 0, folding: 0, etcd: -cpuSeconds(etcdPid) };
  for (let minute = 0; minute < hours * MINUTES_AN_HOUR; minute += 1) {
    spent.counting += await ownCpu(() => {
      for (const { own } of portals) {
        for (const tally of own) {
          const most = CALLS_A_MINUTE * 2 * Math.random();
          for (let call = 0; call < most; call += 1) {
            tally.ended(KINDS[call % KINDS.length] as string, 0, Math.random() / 20);
          }
        }
      }
    });
    now += MINUTE_MS;
    spent.writing += await ownCpu(() => Promise.all(portals.map(({ writer }) => writer.look())));
    spent.folding += await ownCpu(() => folding.look(now));
  }
  // What comes late is waited for.
  now += 5 * MINUTE_MS;
  spent.folding += await ownCpu(() => folding.look(now));
  spent.etcd += cpuSeconds(etcdPid);
  const seconds = hours * 3_600;
  const { counting, writing, folding: folded, etcd } = spent;
  const share = (writing + folded + etcd) / seconds;
  const calls = INSTANCES * PORTALS * CALLS_A_MINUTE * hours * MINUTES_AN_HOUR;
  const { kvs } = await client.kv.range({
    key: Buffer.from(keys.seriesOf(deployments[1] as string)),
    range_end: Buffer.from(`${keys.seriesOf(deployments[1] as string)}~`),
  });
  const sizes = (kind: string) =>
    kvs.filter(({ key }) => key.includes(kind)).map(({ key, value }) => (key.length + value.length) / 1_024);
  const [hour, day] = [sizes('/m/'), sizes('/q/')].map((list) => (list.length === 0 ? 0 : median(list)));
  // Of the last two days and the last 31.
  const most = (hour as number) * 2 * HOURS_A_DAY + (day as number) * (QUARTERS_KEPT_DAYS + 1);
  const percent = (part: number) => `${((part / seconds) * 100).toFixed(2)} %`;
  return [
    {
      what: `usage of ${INSTANCES} instances at ${PORTALS} portals over ${hours} hours: processor time`,
      measured: `${(writing + folded + etcd).toFixed(1)} s`,
      floor: `portals ${percent(writing)}, folding ${percent(folded)}, etcd ${percent(etcd)}`,
      figure: `${(share * 100).toFixed(2)} % of a core`,
      reach: 'less than 1 %',
      isReached: share < REACH,
    },
    {
      what: 'counting a call',
      measured: `${((counting / calls) * 1e9).toFixed(0)} ns`,
      floor: '',
      figure: `${((counting / seconds) * 100).toFixed(2)} % of a core at ${(calls / seconds).toFixed(0)} calls/s`,
      reach: 'none',
      isReached: true,
    },
    {
      what: 'figures kept of one instance that is never idle',
      measured: `${hour?.toFixed(1)} KB an hour, ${day?.toFixed(1)} KB a day`,
      floor: '',
      figure: `${most.toFixed(0)} KB at the most`,
      reach: 'none',
      isReached: true,
    },
  ];
}

/** Of this process, in seconds. */
async function ownCpu(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}
