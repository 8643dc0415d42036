import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { runCommand } from '../src/embedded/run-command.js';
import { emptyFolder, filesIn, machineEnvironment, PROJECT, remove } from './deploy/support/folders.js';
import { Program } from './deploy/support/program.js';
import { availableEtcds } from './support/etcd-versions.js';

const NPM_TIMEOUT_MS = 120_000;

describe('The package as npm publishes it', () => {
  let folder: string;
  let broker: Program | undefined;
  const env = machineEnvironment();

  before(async function () {
    this.timeout(2 * NPM_TIMEOUT_MS);
    folder = await emptyFolder();
    // Without scripts: dist/ is built, and building it anew would pull it from under the tests.
    const pack = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
    const [{ filename }] = JSON.parse(
      await runCommand('npm', pack, { cwd: PROJECT, env, timeoutMs: NPM_TIMEOUT_MS }),
    );
    const install = [
      'install',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--prefer-offline',
      `./${filename}`,
    ];
    await runCommand('npm', install, { cwd: folder, env, timeoutMs: NPM_TIMEOUT_MS });
  });
  after(async () => {
    await broker?.dispose();
    await remove(folder);
  });

  it('holds the program, the catalog and what its users read, and no tests', async () => {
    const files = await filesIn(path.join(folder, 'node_modules/compose-etcd-broker'));
    for (const file of [
      'LICENSE',
      'README.md',
      'catalog.json',
      'deploy/systemd/compose-etcd-broker.service',
      'dist/src/cli.js',
    ]) {
      assert.ok(files.includes(file), file);
    }
    const expected =
      /^(dist\/src\/.*\.(js|css)|docs\/[A-Za-z-]+\.md|deploy\/.+|catalog\.json|package\.json|LICENSE|[A-Z]+\.md)$/;
    assert.deepEqual(
      files.filter((file) => !expected.test(file)),
      [],
    );
  });

  it('says what it is', async () => {
    const own = JSON.parse(await readFile(path.join(PROJECT, 'package.json'), 'utf8'));
    const lock = JSON.parse(await readFile(path.join(PROJECT, 'package-lock.json'), 'utf8'));
    assert.equal(own.license, 'Apache-2.0');
    assert.notEqual(own.private, true);
    assert.equal(lock.version, own.version);
    const chart = parse(await readFile(path.join(PROJECT, 'deploy/helm/Chart.yaml'), 'utf8'));
    assert.deepEqual([chart.version, chart.appVersion], [own.version, own.version]);
    const job = await readFile(path.join(PROJECT, 'deploy/kubernetes/bind-job.yaml'), 'utf8');
    assert.ok(job.includes(`image: compose-etcd-broker:${own.version}\n`));
    const changes = await readFile(path.join(PROJECT, 'CHANGELOG.md'), 'utf8');
    assert.match(changes, new RegExp(`^## \\[${own.version}\\] - \\d{4}-\\d\\d-\\d\\d$`, 'm'));
    const version = ['--no-install', 'compose-etcd-broker', '--version'];
    assert.equal(
      await runCommand('npx', version, { cwd: folder, env, timeoutMs: 30_000 }),
      `${own.version}\n`,
    );
  });

  it('is tested on the lines of Node.js that it names', async () => {
    const { engines } = JSON.parse(await readFile(path.join(PROJECT, 'package.json'), 'utf8'));
    const named = [...(engines.node as string).matchAll(/\^(\d+)/g)].map(([, line]) => Number(line));
    const workflow = parse(await readFile(path.join(PROJECT, '.github/workflows/ci.yml'), 'utf8'));
    const { strategy, steps } = workflow.jobs.test;
    // Node.js 20 still runs it, but gets no security releases any more.
    assert.deepEqual(
      strategy.matrix.node,
      named.filter((line) => line > 20),
    );
    assert.equal(steps.at(-1).run, '.ci/run');
    assert.ok(named.includes(Number(await readFile(path.join(PROJECT, '.nvmrc'), 'utf8'))));
  });

  it('runs the broker with "npx compose-etcd-broker" in an empty folder', async () => {
    const [etcd] = await availableEtcds();
    const settings = {
      ETCD_BINARY: etcd?.path as string,
      PORT: '0',
      BROKER_USERNAME: 'platform',
      BROKER_PASSWORD: 'a-long-password',
    };
    broker = new Program(['npx', '--no-install', 'compose-etcd-broker'], {
      cwd: folder,
      env: { ...env, ...settings },
    });
    const [, url] = await broker.says(/listens at (http:\S+)/);
    const answer = await fetch(`${url}/v2/catalog`, {
      headers: {
        authorization: `Basic ${btoa('platform:a-long-password')}`,
        'x-broker-api-version': '2.17',
      },
    });
    assert.equal(answer.status, 200);
    assert.match(await answer.text(), /"compose-for-etcd"/);
    await broker.end('SIGTERM');
    assert.match(broker.output, /Stopped/);
  });
});
