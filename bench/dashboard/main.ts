import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startEmbeddedCluster } from '../../src/embedded/embedded-cluster.js';
import type { EtcdBinary } from '../../src/embedded/etcd-binary.js';
import { EtcdClient } from '../../src/etcd/client.js';
import { availableEtcds } from '../../test/support/etcd-versions.js';
import { BrokerProcess } from '../broker-process.js';
import { report } from '../report.js';
import type { Row } from '../row.js';
import { measurePages } from './pages.js';
import { measureUsage } from './usage.js';

const RESULTS = path.resolve(import.meta.dirname, '..', '..', '..', 'bench', 'RESULTS-DASHBOARD.md');
const VERSION = '3.5.30';

const FULL = { rounds: 6, roundMs: 2_000, hours: 24 };
const QUICK: typeof FULL = { rounds: 2, roundMs: 500, hours: 2 };

export interface DashboardBenchOptions {
  readonly quick?: boolean;
  /** A folder for CPU profiles of the broker. */
  readonly profile?: string;
}

/** The benchmark of dashboard, administration API and usage: `npm run bench -- dashboard`. */
export async function benchDashboard({ quick = false, profile }: DashboardBenchOptions): Promise<void> {
  const binary = (await availableEtcds()).find((one) => one.version === VERSION);
  if (binary === undefined) {
    throw new Error(`etcd ${VERSION} can not be had here.`);
  }
  const effort = quick ? QUICK : FULL;
  const startedAt = performance.now();
  const folder = await mkdtemp(path.join(tmpdir(), 'compose-etcd-dashboard-bench-'));
  try {
    const rows = [
      ...(await pages(folder, binary.path, effort, profile)),
      ...(await usage(path.join(folder, 'usage'), binary, effort.hours)),
    ];
    const measured = [{ etcdVersion: VERSION, rows }];
    const text = report(measured, (performance.now() - startedAt) / 60_000, 'npm run bench -- dashboard');
    if (!quick) {
      writeFileSync(RESULTS, text);
    }
    console.log(`\n${text}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function pages(
  folder: string,
  binary: string,
  effort: typeof FULL,
  profile: string | undefined,
): Promise<Row[]> {
  const profiling = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const broker = new BrokerProcess(folder, binary, profiling, { PORTAL: 'on' });
  try {
    await broker.start();
    return await measurePages(broker, effort);
  } catch (error) {
    console.error(await broker.lastLines());
    throw error;
  } finally {
    await broker.stop();
  }
}

async function usage(dataDir: string, binary: EtcdBinary, hours: number): Promise<Row[]> {
  console.error('The cost of usage');
  const cluster = await startEmbeddedCluster({
    dataDir,
    binary,
    members: 1,
    quotaBytes: 2 ** 30,
    clientPorts: [0],
    log: () => undefined,
  });
  const { endpoints, caCertificate, password } = cluster;
  const client = new EtcdClient({ endpoints, caCertificate, username: 'root', password });
  try {
    return await measureUsage(client, cluster.members[0]?.pid as number, hours);
  } finally {
    client.close();
    await cluster.stop();
  }
}
