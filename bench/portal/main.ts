import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { availableEtcds } from '../../test/support/etcd-versions.js';
import { report } from '../report.js';
import type { Row } from '../row.js';
import { measureCalls } from './calls.js';
import { measureIdle, measureWatchers } from './connections.js';
import { House } from './house.js';
import { measureBinds, measureFairness } from './neighbours.js';

const RESULTS = path.resolve(import.meta.dirname, '..', '..', '..', 'bench', 'RESULTS-PORTAL.md');
const VERSIONS = ['3.5.30'];

const FULL = {
  cycles: 12,
  cellMs: 800,
  idle: 1_000,
  settleSeconds: 10,
  watchers: 1_000,
  puts: 100,
  watchCycles: 7,
  bindCycles: 7,
  binds: 25,
  fairCycles: 9,
  fairMs: 2_000,
};
type Effort = typeof FULL;

const QUICK: Effort = {
  ...FULL,
  cycles: 3,
  cellMs: 250,
  settleSeconds: 4,
  puts: 30,
  watchCycles: 3,
  bindCycles: 2,
  binds: 10,
  fairCycles: 3,
  fairMs: 1_000,
};

const PARTS = {
  // First, since etcd forgets a token that was not used for five minutes.
  fairness: { saying: 'A tenant beside a busy one', rows: measureFairness },
  calls: { saying: 'Gets and puts, direct, through the portal and through grpc-proxy', rows: measureCalls },
  idle: { saying: 'Idle connections', rows: measureIdle },
  watchers: { saying: 'Watchers', rows: measureWatchers },
  binds: { saying: 'Binds beside a busy tenant', rows: measureBinds },
} satisfies {
  [part: string]: { saying: string; rows: (house: House, effort: Effort) => Promise<Row | Row[]> };
};
type Part = keyof typeof PARTS;

export interface PortalBenchOptions {
  readonly quick?: boolean;
  readonly only?: string[];
  readonly etcd?: string[];
  /** A folder for CPU profiles of the portal. */
  readonly profile?: string;
}

/** The benchmark of the portal: `npm run bench -- portal`. */
export async function benchPortal({ quick = false, only, etcd, profile }: PortalBenchOptions): Promise<void> {
  const parts = only ?? Object.keys(PARTS);
  const unknown = parts.find((name) => !(name in PARTS));
  if (unknown !== undefined) {
    throw new Error(`There is no part "${unknown}"; the parts are ${Object.keys(PARTS).join(', ')}.`);
  }
  const startedAt = performance.now();
  const measured = [];
  for (const version of etcd ?? VERSIONS) {
    const binary = (await availableEtcds()).find((one) => one.version === version);
    if (binary === undefined) {
      throw new Error(`etcd ${version} can not be had here.`);
    }
    console.error(`On etcd ${version}`);
    const rows = await measureOn(binary.path, parts as Part[], quick ? QUICK : FULL, profile);
    measured.push({ etcdVersion: version, rows });
  }
  const text = report(measured, (performance.now() - startedAt) / 60_000, 'npm run bench -- portal');
  if (!quick && only === undefined && etcd === undefined) {
    writeFileSync(RESULTS, text);
  }
  console.log(`\n${text}`);
}

async function measureOn(
  etcdBinary: string,
  parts: readonly Part[],
  effort: Effort,
  profile: string | undefined,
): Promise<Row[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'compose-etcd-portal-bench-'));
  const profiling = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const house = new House(folder, etcdBinary, profiling);
  const abort = new Promise<never>((_resolve, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => reject(new Error(`Ended by ${signal}`)));
    }
  });
  const measure = async () => {
    await house.start();
    const rows: Row[] = [];
    for (const part of parts) {
      console.error(PARTS[part].saying);
      rows.push(...[await PARTS[part].rows(house, effort)].flat());
    }
    return rows;
  };
  try {
    return await Promise.race([measure(), abort]);
  } catch (error) {
    console.error(await house.lastLines());
    throw error;
  } finally {
    await house.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
