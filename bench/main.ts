import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { availableEtcds } from '../test/support/etcd-versions.js';
import { benchBackups } from './backups/main.js';
import { BareCluster } from './bare-cluster.js';
import { type BindTimes, growth, manyAtOnce, oneAtATime, timeBinds } from './binds.js';
import { BrokerProcess } from './broker-process.js';
import { catalog } from './catalog.js';
import { check } from './check.js';
import { benchDashboard } from './dashboard/main.js';
import { fill, memory, start, startTimes } from './growth.js';
import { benchPortal } from './portal/main.js';
import { reads } from './reads.js';
import { type Measured, report } from './report.js';
import type { Row } from './row.js';

const RESULTS = path.resolve(import.meta.dirname, '..', '..', 'bench', 'RESULTS.md');
const PARTS = ['binds', 'reads', 'catalog', 'growth'] as const;
type Part = (typeof PARTS)[number];

const FULL = {
  warmUp: 512,
  bindTurns: 150,
  rounds: 8,
  bindsARound: 128,
  readTurns: 1_500,
  catalogRounds: 8,
  catalogMs: 2_000,
  /** Where the growth is measured, and in how many turns; the last one counts for memory and start too. */
  levels: [
    { bindings: 1_000, turns: 100 },
    { bindings: 5_000, turns: 60 },
  ],
  instances: 100,
  starts: 3,
  settleSeconds: 20,
};
type Effort = typeof FULL;

const QUICK: Effort = {
  ...FULL,
  warmUp: 50,
  bindTurns: 40,
  rounds: 3,
  bindsARound: 64,
  readTurns: 300,
  catalogRounds: 2,
  catalogMs: 1_000,
  levels: [
    { bindings: 50, turns: 30 },
    { bindings: 200, turns: 30 },
  ],
  instances: 10,
  starts: 1,
  settleSeconds: 5,
};

const {
  values: options,
  positionals: [subject],
} = parseArgs({
  allowPositionals: true,
  options: {
    /** Fewer rounds and 200 bindings, to see that all of it works; the results are only printed. */
    quick: { type: 'boolean', default: false },
    /** Only this part, which may be given several times; the results are only printed. */
    only: { type: 'string', multiple: true },
    /** Only on this version of etcd, which may be given several times; the results are only printed. */
    etcd: { type: 'string', multiple: true },
    /** A folder for CPU profiles of the broker. */
    profile: { type: 'string' },
  },
});

/** The versions that the results name: the oldest, and the newest of 3.5 that can be had. */
const VERSIONS = ['3.4.23', '3.5.30'];

async function main(): Promise<void> {
  const only = options.only ?? PARTS;
  const unknown = only.find((name) => !(PARTS as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw new Error(`There is no part "${unknown}"; the parts are ${PARTS.join(', ')}.`);
  }
  const startedAt = performance.now();
  const measured: Measured[] = [];
  for (const version of options.etcd ?? VERSIONS) {
    const etcd = (await availableEtcds()).find((one) => one.version === version);
    if (etcd === undefined) {
      throw new Error(`etcd ${version} can not be had here.`);
    }
    say(`On etcd ${version}`);
    measured.push({ etcdVersion: version, rows: await measureOn(etcd.path, only as readonly Part[]) });
  }
  const text = report(measured, (performance.now() - startedAt) / 60_000);
  if (!options.quick && options.only === undefined && options.etcd === undefined) {
    writeFileSync(RESULTS, text);
  }
  console.log(`\n${text}`);
}

async function measureOn(etcdBinary: string, only: readonly Part[]): Promise<Row[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-bench-'));
  const profiling = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`];
  const broker = new BrokerProcess(folder, etcdBinary, profiling);
  const abort = new Promise<never>((_resolve, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => reject(new Error(`Ended by ${signal}`)));
    }
  });
  try {
    return await Promise.race([measure(broker, options.quick ? QUICK : FULL, only), abort]);
  } catch (error) {
    console.error(await broker.lastLines());
    throw error;
  } finally {
    await broker.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(broker: BrokerProcess, effort: Effort, parts: readonly Part[]): Promise<Row[]> {
  const rows: Row[] = [];
  const has = (part: Part) => parts.includes(part);
  say('Starting the broker');
  await broker.start();
  // The first start made the certificates and the cluster, which no later one does.
  const startWithNone = has('growth') ? await startTimes(broker, effort.starts) : 0;
  const memoryWithNone = has('growth') ? await broker.settledMemory(effort.settleSeconds) : 0;
  const instances = Array.from({ length: effort.instances }, (_, index) => `instance-${index}`);
  for (const instance of instances) {
    await broker.provision(instance);
  }
  const first = instances[0] as string;
  const { credentials } = JSON.parse(await broker.bind(first, 'kept'));
  await broker.unbind(first, 'kept');
  const bare = await BareCluster.open(broker, credentials);
  try {
    say('Warming up');
    await manyAtOnce(broker, bare, instances, 1, effort.warmUp);
    await timeBinds(broker, bare, first, effort.warmUp / 5);
    let none: BindTimes | undefined;
    if (has('binds') || has('growth')) {
      say('Binds, one at a time');
      none = await timeBinds(broker, bare, first, effort.bindTurns);
    }
    if (has('binds') && none !== undefined) {
      rows.push(oneAtATime(none));
      say('Binds, 32 at once');
      rows.push(...(await manyAtOnce(broker, bare, instances, effort.rounds, effort.bindsARound)));
    }
    if (has('reads')) {
      say('Fetches');
      await broker.bind(first, 'read');
      await reads(broker, bare, first, 'read', effort.readTurns / 5);
      rows.push(...(await reads(broker, bare, first, 'read', effort.readTurns)));
      await broker.unbind(first, 'read');
    }
    if (has('catalog')) {
      say('Catalog');
      rows.push(await catalog(broker, effort.catalogRounds, effort.catalogMs));
    }
    if (has('growth') && none !== undefined) {
      rows.push(
        ...(await measureGrowth(broker, bare, effort, instances, {
          binds: none,
          memory: memoryWithNone,
          start: startWithNone,
        })),
      );
    }
    return rows;
  } finally {
    bare.close();
  }
}

async function measureGrowth(
  broker: BrokerProcess,
  bare: BareCluster,
  effort: Effort,
  instances: readonly string[],
  none: { binds: BindTimes; memory: number; start: number },
): Promise<Row[]> {
  const series = [{ bindings: 0, times: none.binds }];
  let there = 0;
  for (const { bindings, turns } of effort.levels) {
    say(`Filling up to ${bindings} bindings`);
    await fill(broker, instances, there, bindings);
    there = bindings;
    say(`Binds at ${bindings} bindings`);
    series.push({ bindings, times: await timeBinds(broker, bare, instances[0] as string, turns) });
  }
  say("The operators' check");
  const checked = [await check(broker, there), await check(broker, there, '--all')];
  say('Memory and starts');
  const memoryFilled = await broker.settledMemory(effort.settleSeconds);
  const startFilled = await startTimes(broker, effort.starts);
  return [
    growth(series),
    memory(there, none.memory, memoryFilled),
    start(there, none.start, startFilled),
    ...checked,
  ];
}

function say(line: string): void {
  console.error(line);
}

const subjects = {
  portal: () => benchPortal(options),
  backups: () => benchBackups(options),
  dashboard: () => benchDashboard(options),
};
if (subject !== undefined && !Object.hasOwn(subjects, subject)) {
  throw new Error(
    `There is no benchmark "${subject}"; there are ${Object.keys(subjects).join(' and ')}, and the broker's without a name.`,
  );
}
await (subject === undefined ? main() : subjects[subject as keyof typeof subjects]());
process.exit();
