import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type FindEtcdOptions, findEtcd } from '../../src/embedded/etcd-binary.js';
import { RELEASE_VERSION } from '../../src/embedded/etcd-release.js';
import { runCommand } from '../../src/embedded/run-command.js';

// Nothing listens on port 1 of the loopback: a release "server" that refuses at once.
const CLOSED = { baseUrl: 'http://127.0.0.1:1' };
const ARCHITECTURE = process.arch === 'x64' ? 'amd64' : process.arch;

describe('finding an etcd server', () => {
  let folder: string;
  let server: Server | undefined;
  let progress: string[];

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'etcd-binary-'));
    progress = [];
  });
  afterEach(async () => {
    server?.closeAllConnections();
    server?.close();
    server = undefined;
    await rm(folder, { recursive: true, force: true });
  });

  async function fake(file: string, version: string): Promise<string> {
    const target = path.join(folder, file);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, `#!/bin/sh\necho "etcd Version: ${version}"\n`);
    await chmod(target, 0o755);
    return target;
  }

  const find = (env: NodeJS.ProcessEnv, more: Partial<FindEtcdOptions> = {}) =>
    findEtcd({
      env,
      cacheDir: path.join(folder, 'cache'),
      onProgress: (line) => progress.push(line),
      release: CLOSED,
      debian: false,
      ...more,
    });

  /** Serves a release whose etcd is a script, and returns where and with which checksum. */
  async function serveRelease(): Promise<{ baseUrl: string; checksum: string; requests: string[] }> {
    const name = `etcd-v${RELEASE_VERSION}-linux-${ARCHITECTURE}`;
    await fake(`${name}/etcd`, RELEASE_VERSION);
    const archive = path.join(folder, 'release.tar.gz');
    spawnSync('tar', ['-czf', archive, '-C', folder, name]);
    const content = await readFile(archive);
    const requests: string[] = [];
    server = createServer((request, response) => {
      requests.push(request.url ?? '');
      if (request.url?.startsWith('/moved/')) {
        response.writeHead(200).end(content);
      } else {
        response.writeHead(302, { location: `/moved${request.url}` }).end();
      }
    });
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const checksum = createHash('sha256').update(content).digest('hex');
    return { baseUrl: `http://127.0.0.1:${port}`, checksum, requests };
  }

  it('prefers ETCD_BINARY, then the PATH, then the cache', async () => {
    const named = await fake('named', '3.5.1');
    const onPath = await fake('bin/etcd', '3.5.2');
    await fake('cache/3.4.9/etcd', '3.4.9');
    const newest = await fake('cache/3.4.23/etcd', '3.4.23');
    const env = { ETCD_BINARY: named, PATH: path.dirname(onPath) };
    assert.deepEqual(await find(env), { path: named, version: '3.5.1', source: 'ETCD_BINARY' });
    assert.deepEqual(await find({ PATH: env.PATH }), { path: onPath, version: '3.5.2', source: 'PATH' });
    assert.deepEqual(await find({ PATH: '' }), { path: newest, version: '3.4.23', source: 'cache' });
  });

  it('names ETCD_BINARY when it can not be used', async () => {
    const missing = path.join(folder, 'missing');
    await assert.rejects(find({ ETCD_BINARY: missing }), /^Error: ETCD_BINARY can't be used: .*ENOENT/);
    const old = await fake('old', '3.3.27');
    await assert.rejects(find({ ETCD_BINARY: old }), /ETCD_BINARY can't be used: .*is etcd 3\.3\.27/);
    await assert.rejects(find({ ETCD_BINARY: '/bin/ls' }), /ETCD_BINARY can't be used/);
  });

  it('passes over an etcd on the PATH that is too old and says so', async () => {
    await fake('bin/etcd', '3.3.27');
    await fake('cache/3.4.23/etcd', '3.4.23');
    assert.equal((await find({ PATH: path.join(folder, 'bin') })).source, 'cache');
    assert.match(progress.join('\n'), /Skipping .*bin\/etcd: .*3\.3\.27, but 3\.4 or newer is needed/);
  });

  it('says on one line what to do when there is none', async () => {
    const startedAt = Date.now();
    await assert.rejects(find({ PATH: '' }), (error: Error) => {
      assert.match(error.message, /^No etcd server found: install .*ETCD_BINARY/);
      assert.ok(!error.message.includes('\n'), error.message);
      return true;
    });
    assert.ok(Date.now() - startedAt < 2_000, `expected within 2 s, took ${Date.now() - startedAt} ms`);
  });

  it('notices within seconds that the network does not answer', async () => {
    server = createServer(() => undefined); // takes requests and never answers
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const startedAt = Date.now();
    await assert.rejects(
      find({ PATH: '' }, { release: { baseUrl: `http://127.0.0.1:${port}` } }),
      /no answer within 3000 ms/,
    );
    assert.ok(Date.now() - startedAt < 4_500, `expected within 4.5 s, took ${Date.now() - startedAt} ms`);
  }).timeout(10_000);

  it('downloads the release once, following redirections, and uses the cache afterwards', async function () {
    if (process.platform !== 'linux') {
      this.skip();
    }
    const { baseUrl, checksum, requests } = await serveRelease();
    const release = { baseUrl, checksums: { [ARCHITECTURE]: checksum } };
    const both = await Promise.all([find({ PATH: '' }, { release }), find({ PATH: '' }, { release })]);
    const file = path.join(folder, 'cache', RELEASE_VERSION, 'etcd');
    for (const found of both) {
      assert.deepEqual(found, { path: file, version: RELEASE_VERSION, source: 'release' });
    }
    const count = requests.length;
    assert.equal((await find({ PATH: '' }, { release })).source, 'cache');
    assert.equal(requests.length, count);
    assert.deepEqual(await readdir(path.join(folder, 'cache')), [RELEASE_VERSION]);
  });

  it('refuses a release with another checksum and leaves nothing in the cache', async function () {
    if (process.platform !== 'linux') {
      this.skip();
    }
    const { baseUrl } = await serveRelease();
    const release = { baseUrl, checksums: { [ARCHITECTURE]: '0'.repeat(64) } };
    await assert.rejects(find({ PATH: '' }, { release }), /has the SHA-256 [0-9a-f]{64}, not 0{64}: refused/);
    assert.deepEqual(await readdir(path.join(folder, 'cache')), []);
  });

  it("unpacks Debian's package without installing it", async function () {
    const policy = spawnSync('apt-cache', ['policy', 'etcd-server'], { encoding: 'utf8' });
    if (policy.error || !/Candidate: \d/.test(policy.stdout)) {
      this.skip();
    }
    const found = await find({ PATH: '' }, { debian: true });
    assert.equal(found.source, 'debian');
    assert.equal(found.path, path.join(folder, 'cache', found.version, 'etcd'));
    assert.deepEqual(await readdir(path.join(folder, 'cache')), [found.version]);
  }).timeout(60_000);
});

describe('running a command', () => {
  it('ends it at the time limit, and reports the last line of a failure', async () => {
    const startedAt = Date.now();
    await assert.rejects(runCommand('sleep', ['20'], { timeoutMs: 200 }), /sleep took longer than 200 ms/);
    assert.ok(Date.now() - startedAt < 2_000, `expected about 0.2 s, took ${Date.now() - startedAt} ms`);
    await assert.rejects(
      runCommand('sh', ['-c', 'echo first >&2; echo last >&2; exit 3'], { timeoutMs: 5_000 }),
      /^Error: sh failed with status 3: last$/,
    );
    await assert.rejects(runCommand('/nowhere/x', [], { timeoutMs: 5_000 }), /^Error: .*ENOENT$/);
  });
});
