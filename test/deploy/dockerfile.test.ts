import assert from 'node:assert/strict';
import { chmod, readFile } from 'node:fs/promises';
import path from 'node:path';
import { DockerfileParser } from 'dockerfile-ast';
import { runCommand } from '../../src/embedded/run-command.js';
import { freePorts, OperatorEtcd } from '../support/operator-etcd.js';
import { type Built, build } from './support/dockerfile.js';
import { filesIn, PROJECT, remove } from './support/folders.js';
import { Program } from './support/program.js';

const read = (name: string) => readFile(path.join(PROJECT, name), 'utf8');

describe('deploy/Dockerfile', () => {
  let built: Built;
  let etcd: OperatorEtcd;
  let files: string[];
  let programs: Program[];

  /** Runs the image's program with some settings, not as root where that can be done. */
  const start = (env: Record<string, string>, ...command: string[]) => {
    const program = new Program([...built.entrypoint, ...command] as [string, ...string[]], {
      cwd: built.workingDirectory,
      env: { PATH: process.env.PATH, ...built.env, ...env },
      ...(process.getuid?.() === 0 ? { uid: Number(built.user.split(':')[0]) } : {}),
    });
    programs.push(program);
    return program;
  };
  const isHealthy = (env: Record<string, string>) =>
    runCommand(built.healthCheck[0] as string, built.healthCheck.slice(1), {
      env: { PATH: process.env.PATH, ...env },
      timeoutMs: 10_000,
    }).then(
      () => true,
      () => false,
    );

  before(async function () {
    this.timeout(180_000); // npm ci, the compiler and npm prune
    programs = [];
    etcd = await OperatorEtcd.start();
    built = await build(await read('deploy/Dockerfile'));
    for (const folder of built.roots) {
      await chmod(folder, 0o755);
    }
    files = await filesIn(built.workingDirectory);
  });
  after(async () => {
    await Promise.all((programs ?? []).map((program) => program.dispose()));
    await Promise.all((built?.roots ?? []).map(remove));
    await etcd?.stop();
  });

  it('holds what the broker needs and nothing that builds or tests it, and no etcd', () => {
    const own = files.filter((file) => !file.startsWith('node_modules/'));
    assert.ok(own.includes('dist/src/cli.js') && own.includes('catalog.json'));
    assert.deepEqual(
      own.filter((file) => !/^(dist\/src\/.*\.(js(\.map)?|css)|catalog\.json|package\.json)$/.test(file)),
      [],
    );
    const packages = new Set(files.map((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]));
    assert.ok(packages.has('express'));
    for (const name of ['typescript', 'mocha', '@biomejs/biome', 'fast-check', 'yaml']) {
      assert.ok(!packages.has(name), name);
    }
    assert.deepEqual(
      files.filter((file) => /^etcd(ctl|utl)?$/.test(path.basename(file))),
      [],
    );
  });

  it('is not run as root, and by Node itself', () => {
    assert.match(built.user, /^[1-9][0-9]*:[1-9][0-9]*$/);
    assert.equal(built.entrypoint[0], 'node');
    assert.deepEqual(built.ports, ['8080', '2379']);
  });

  it('copies only what .dockerignore lets through', async () => {
    const allowed = (await read('.dockerignore'))
      .split('\n')
      .flatMap((line) => /^!(.+)$/.exec(line)?.[1] ?? []);
    const copied = DockerfileParser.parse(await read('deploy/Dockerfile'))
      .getCOPYs()
      .filter((copy) => copy.getFlags().length === 0)
      .flatMap((copy) => copy.getArguments().slice(0, -1));
    assert.deepEqual(copied.map((argument) => argument.getValue()).sort(), allowed.sort());
  });

  it('serves as a broker and as a portal, and writes no file', async () => {
    const [port, portalPort, healthPort] = (await freePorts(3)) as [number, number, number];
    const settings = {
      ...etcd.settings,
      PORTAL: 'on',
      PORTAL_ENDPOINTS: `https://localhost:${portalPort}`,
      BROKER_USERNAME: 'platform',
      BROKER_PASSWORD: 'a-long-password',
    };
    const broker = { ...settings, HOST: '127.0.0.1', PORT: String(port) };
    assert.equal(await isHealthy(broker), false);
    const serving = start(broker, ...built.command);
    await serving.says(/listens at/);
    assert.equal(await isHealthy(broker), true);

    const access = start(settings, 'portal-access', '--json');
    assert.equal(await access.ended, 0, access.output);
    const { username, password } = JSON.parse(access.output);
    const { ETCD_USERNAME: _user, ETCD_PASSWORD: _password, ...rest } = settings as Record<string, string>;
    const portal = {
      ...rest,
      PORTAL_LISTEN: `127.0.0.1:${portalPort}`,
      PORTAL_HEALTH_PORT: String(healthPort),
      PORTAL_ETCD_USERNAME: username,
      PORTAL_ETCD_PASSWORD: password,
    };
    assert.equal(await isHealthy(portal), false);
    const forwarding = start(portal, 'portal');
    await forwarding.says(/The portal listens/);
    assert.equal(await isHealthy(portal), true);

    assert.deepEqual(await Promise.all([serving.end('SIGTERM'), forwarding.end('SIGTERM')]), [0, 0]);
    assert.deepEqual(await filesIn(built.workingDirectory), files);
  });
});
