import { execFile, fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { Secret } from '../../src/credentials/secret.js';
import { startEmbeddedCluster } from '../../src/embedded/embedded-cluster.js';
import { EtcdClient } from '../../src/etcd/client.js';
import { availableEtcds, etcdctl } from '../../test/support/etcd-versions.js';
import { report } from '../report.js';
import { ms, type Row, spread, times } from '../row.js';
import { inParallel, median, sleep, timed } from '../statistics.js';
import type { Done, Work } from './work.js';

const RESULTS = path.resolve(import.meta.dirname, '..', '..', '..', 'bench', 'RESULTS-BACKUPS.md');
const VERSION = '3.5.30';
const MB = 2 ** 20;
/** Until a process has begun with its work. */
const START_MS = 800;
/** So long another tenant's calls are measured. */
const NEIGHBOUR_MS = 45_000;

interface DataSet {
  name: string;
  deployment: string;
  keys: number;
  valueBytes: number;
  /** As many keys as a backup's pages hold once it knows how long they are. */
  page: number;
}

const sets = (quick: boolean): DataSet[] => [
  {
    name: 'small keys',
    deployment: '1'.repeat(24),
    keys: quick ? 100_000 : 1_000_000,
    valueBytes: 20,
    page: 10_000,
  },
  {
    name: 'values of 256 KB',
    deployment: '2'.repeat(24),
    keys: quick ? 400 : 4_096,
    valueBytes: 256 << 10,
    page: 4,
  },
];

/** The benchmark of backups: `npm run bench -- backups`. */
export async function benchBackups({ quick = false }: { quick?: boolean }): Promise<void> {
  const binary = (await availableEtcds()).find((one) => one.version === VERSION);
  if (binary === undefined) {
    throw new Error(`etcd ${VERSION} can not be had here.`);
  }
  const startedAt = performance.now();
  const folder = await mkdtemp(path.join(tmpdir(), 'compose-etcd-backups-bench-'));
  const cluster = await startEmbeddedCluster({
    dataDir: path.join(folder, 'data'),
    binary,
    members: 1,
    quotaBytes: 8 * 2 ** 30,
    clientPorts: [0],
    log: () => undefined,
  });
  const { endpoints, caCertificate } = cluster;
  const password = cluster.password.reveal();
  const root = new EtcdClient({ endpoints, caCertificate, username: 'root', password: new Secret(password) });
  const run = (work: Pick<Work, 'what' | 'deployment'> & Partial<Work>) =>
    inProcess({
      endpoints: [...endpoints],
      caCertificate,
      password,
      folder: path.join(folder, 'store'),
      ...work,
    });
  try {
    const rows: Row[] = [];
    for (const set of sets(quick)) {
      console.error(`Filling: ${set.keys} ${set.name}`);
      await fill(root, set);
      rows.push(...(await measure(run, set, quick ? 2 : 3)));
    }
    console.error('etcdctl snapshot save');
    rows.push(await snapshot(folder, endpoints[0] as string, caCertificate, password));
    const measured = [{ etcdVersion: VERSION, rows }];
    const text = report(measured, (performance.now() - startedAt) / 60_000, 'npm run bench -- backups');
    if (!quick) {
      writeFileSync(RESULTS, text);
    }
    console.log(`\n${text}`);
  } finally {
    root.close();
    await cluster.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

type Run = (work: Pick<Work, 'what' | 'deployment'> & Partial<Work>) => Promise<Done>;

async function measure(
  run: Run,
  { name, deployment, page, keys, valueBytes }: DataSet,
  cycles: number,
): Promise<Row[]> {
  const what = `${keys} ${name}`;
  const bare: Done[] = [];
  const taken: Done[] = [];
  const alone: Done[] = [];
  const beside: Done[] = [];
  const hurried: Done[] = [];
  for (let cycle = 0; cycle < cycles; cycle += 1) {
    console.error(`${what}: cycle ${cycle + 1} of ${cycles}`);
    bare.push(await run({ what: 'page', deployment, page }));
    taken.push(await run({ what: 'backup', deployment }));
    const last = (taken.at(-1) as Done).ms;
    alone.push(await run({ what: 'neighbour', deployment, ms: NEIGHBOUR_MS }));
    const daily = run({ what: 'daily', deployment, ms: NEIGHBOUR_MS + 2 * START_MS });
    await sleep(START_MS);
    beside.push(await run({ what: 'neighbour', deployment, ms: NEIGHBOUR_MS }));
    await daily;
    const backup = run({ what: 'backup', deployment });
    await sleep(START_MS / 2);
    hurried.push(await run({ what: 'neighbour', deployment, ms: Math.max(500, last * 0.8) }));
    await backup;
  }
  const of = (list: Done[], pick: (done: Done) => number) => list.map(pick);
  const throughput = median(taken.map((one, at) => (bare[at] as Done).ms / one.ms));
  const memory = Math.max(...of(taken, ({ rssMost, rssAtRest }) => (rssMost - rssAtRest) / MB));
  const { bytes, size } = taken[0] as Done;
  const latency = (list: Done[], pick: (done: Done) => number) =>
    median(list.map((one, at) => pick(one) / pick(alone[at] as Done)));
  const restored = await run({ what: 'restore', deployment, target: deployment.replaceAll(/./g, 'e') });
  const took = median(of(taken, (one) => one.ms));
  const row = (about: string, fields: Omit<Row, 'what'>): Row => ({ what: `${what}: ${about}`, ...fields });
  const latencyRow = (
    kind: 'by the schedule' | 'on demand',
    about: string,
    list: Done[],
    pick: (done: Done) => number,
  ) =>
    row(`another tenant's ${about} during a backup ${kind}`, {
      measured: ms(median(of(list, pick))),
      floor: `${ms(median(of(alone, pick)))} (alone)`,
      figure: times(latency(list, pick)),
      ...(kind === 'on demand'
        ? { reach: 'none', isReached: true }
        : { reach: 'at most 1.1 times', isReached: latency(list, pick) <= 1.1 }),
      floorSpread: spread(of(alone, pick)),
    });
  const none = { floor: '', reach: 'none', isReached: true };
  return [
    row(`backup, against paging through the same keys with etcd3, ${page} a page`, {
      measured: `${(took / 1_000).toFixed(2)} s`,
      floor: `${(median(of(bare, (one) => one.ms)) / 1_000).toFixed(2)} s`,
      figure: `${throughput.toFixed(2)} of its throughput`,
      reach: 'at least 0.7',
      isReached: throughput >= 0.7,
      floorSpread: spread(of(bare, (one) => one.ms)),
    }),
    row('memory over the process at rest', {
      measured: `${memory.toFixed(0)} MB`,
      floor: '',
      figure: `${memory.toFixed(0)} MB`,
      reach: 'at most 64 MB',
      isReached: memory <= 64,
    }),
    row('bytes in the store', {
      ...none,
      measured: `${(size / MB).toFixed(1)} MB`,
      floor: `${(bytes / MB).toFixed(1)} MB of keys and values${valueBytes > 1_000 ? ', at random' : ''}`,
      figure: `${(size / bytes).toFixed(2)} of them`,
    }),
    latencyRow('by the schedule', 'p50', beside, ({ p50 }) => p50),
    latencyRow('by the schedule', 'p99', beside, ({ p99 }) => p99),
    latencyRow('on demand', 'p50', hurried, ({ p50 }) => p50),
    latencyRow('on demand', 'p99', hurried, ({ p99 }) => p99),
    row('restore into an empty instance, verified', {
      ...none,
      measured: `${(restored.ms / 1_000).toFixed(2)} s`,
      figure: `${Math.round(restored.keys / (restored.ms / 1_000))} keys/s, ${(restored.bytes / MB / (restored.ms / 1_000)).toFixed(0)} MB/s`,
    }),
  ];
}

async function snapshot(folder: string, endpoint: string, ca: string, password: string): Promise<Row> {
  const [authority, target] = [path.join(folder, 'ca.pem'), path.join(folder, 'snapshot.db')];
  await writeFile(authority, ca);
  const program = await etcdctl();
  const took = await timed(() =>
    promisify(execFile)(program, ['snapshot', 'save', target], {
      env: {
        PATH: process.env.PATH,
        ETCDCTL_API: '3',
        ETCDCTL_ENDPOINTS: endpoint,
        ETCDCTL_CACERT: authority,
        ETCDCTL_USER: `root:${password}`,
      },
    }),
  );
  const { size } = await stat(target);
  return {
    what: 'etcdctl snapshot save of the whole cluster, for comparison',
    measured: `${(took / 1_000).toFixed(2)} s`,
    floor: '',
    figure: `${(size / MB).toFixed(0)} MB`,
    reach: 'none',
    isReached: true,
  };
}

/** Values at random, so that compression does not flatter. */
async function fill({ kv }: EtcdClient, { deployment, keys, valueBytes }: DataSet): Promise<void> {
  const perTransaction = Math.max(1, Math.min(100, Math.floor((1 << 20) / valueBytes)));
  await inParallel(Math.ceil(keys / perTransaction), 8, async (transaction) => {
    const random = Buffer.alloc(valueBytes * perTransaction);
    crypto.getRandomValues(random.subarray(0, Math.min(random.length, 65_536)));
    for (let at = 65_536; at < random.length; at += 65_536) {
      crypto.getRandomValues(random.subarray(at, Math.min(random.length, at + 65_536)));
    }
    await kv.txn({
      compare: [],
      failure: [],
      success: Array.from({ length: perTransaction }, (_, of) => ({
        request_put: {
          key: Buffer.from(
            `/d/${deployment}/data/key-${String(transaction * perTransaction + of).padStart(9, '0')}`,
          ),
          value: random.subarray(of * valueBytes, (of + 1) * valueBytes),
        },
      })),
    });
  });
}

function inProcess(work: Work): Promise<Done> {
  return new Promise((resolve, reject) => {
    const child = fork(path.join(import.meta.dirname, 'work.js'), { execArgv: ['--expose-gc'] });
    let done: Done | undefined;
    child.once('message', (told: Done) => {
      done = told;
    });
    child.once('exit', (code) => {
      if (done === undefined) {
        reject(new Error(`The process that was to ${work.what} ended with ${code}`));
      } else {
        resolve(done);
      }
    });
    child.send(work);
  });
}
