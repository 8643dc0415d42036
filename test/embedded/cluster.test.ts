import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { Etcd3 } from 'etcd3';
import { Secret } from '../../src/credentials/secret.js';
import {
  type EmbeddedCluster,
  type EmbeddedClusterOptions,
  startEmbeddedCluster,
} from '../../src/embedded/embedded-cluster.js';
import type { EtcdBinary } from '../../src/embedded/etcd-binary.js';
import { keptEncryptionKey } from '../../src/embedded/kept-secrets.js';
import { runCommand } from '../../src/embedded/run-command.js';
import { runningEmbeddedCluster } from '../../src/embedded/running.js';
import { availableEtcds, etcdctl } from '../support/etcd-versions.js';
import { etcdsUsing } from '../support/processes.js';

const MODULE = new URL('../../src/embedded/embedded-cluster.js', import.meta.url).href;

let binaries: EtcdBinary[];
let dataDir: string;
let logged: string[];
const started: EmbeddedCluster[] = [];
const cleanups: (() => unknown)[] = [];

async function start(
  binary: EtcdBinary | undefined,
  more: Partial<EmbeddedClusterOptions> = {},
): Promise<EmbeddedCluster> {
  assert.ok(binary, 'no etcd of this version');
  const cluster = await startEmbeddedCluster({
    dataDir,
    binary,
    members: 1,
    clientPorts: [0, 0, 0],
    log: (level, message, details) => logged.push(`${level} ${message} ${JSON.stringify(details ?? {})}`),
    ...more,
  });
  started.push(cluster);
  return cluster;
}

const client = (cluster: EmbeddedCluster, password = cluster.password) => connectTo(cluster, password);
const anonymous = (cluster: EmbeddedCluster) => connectTo(cluster);

function connectTo(cluster: EmbeddedCluster, password?: Secret): Etcd3 {
  const etcd = new Etcd3({
    hosts: [...cluster.endpoints],
    credentials: { rootCertificate: Buffer.from(cluster.caCertificate) },
    defaultCallOptions: () => ({ deadline: Date.now() + 5_000 }),
    ...(password && { auth: { username: 'root', password: password.reveal() } }),
  });
  cleanups.push(() => etcd.close());
  return etcd;
}

const running = () => etcdsUsing(dataDir);

async function eventually<T>(what: string, check: () => Promise<T | undefined>, limitMs = 8_000): Promise<T> {
  const deadline = Date.now() + limitMs;
  let last: unknown;
  while (Date.now() < deadline) {
    try {
      const found = await check();
      if (found !== undefined) {
        return found;
      }
    } catch (error) {
      last = error;
    }
    await sleep(25);
  }
  throw new Error(`expected ${what} within ${limitMs} ms; last error: ${last}; log: ${logged.join(' | ')}`);
}

const layout = async () => JSON.parse(await readFile(path.join(dataDir, 'embedded.json'), 'utf8'));

async function occupy(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  cleanups.push(() => server.close());
  return server;
}

/** Starts a cluster in a process of its own, which is then killed; returns the broker's and etcd's process ids. */
async function ownerProcess(
  binary: EtcdBinary | undefined,
): Promise<{ pid: number; etcd: number; kill(): Promise<void> }> {
  const script = `
    const { startEmbeddedCluster } = await import(${JSON.stringify(MODULE)});
    const cluster = await startEmbeddedCluster({ dataDir: ${JSON.stringify(dataDir)}, members: 1, clientPorts: [0],
      binary: ${JSON.stringify(binary)}, log: () => undefined });
    console.log(cluster.members[0].pid);
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanups.push(() => child.kill('SIGKILL'));
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', (data) => resolve(String(data)));
    child.once('exit', (code) => reject(new Error(`the owner ended with ${code}`)));
  });
  const kill = async () => {
    child.kill('SIGKILL');
    await gone;
  };
  return { pid: child.pid ?? 0, etcd: Number(line), kill };
}

describe('embedded cluster', function () {
  this.timeout(30_000);

  before(async function () {
    this.timeout(180_000);
    binaries = await availableEtcds();
    console.log(`    with etcd ${binaries.map((binary) => binary.version).join(', ')}`);
  });
  beforeEach(async () => {
    dataDir = await mkdtemp(path.join(tmpdir(), 'embedded-'));
    logged = [];
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) {
      cleanup();
    }
    await Promise.all(started.splice(0).map((cluster) => cluster.stop()));
    const left = await running();
    await rm(dataDir, { recursive: true, force: true });
    assert.deepEqual(left, [], 'no etcd may be left running');
  });

  it('serves clients that trust its CA, and only those that sign in', async () => {
    const cluster = await start(binaries[0]);
    await client(cluster).put('a').value('1');
    assert.equal(await client(cluster).get('a').string(), '1');
    const [endpoint] = cluster.endpoints;
    assert.match(endpoint ?? '', /^https:\/\/localhost:\d+$/);
    assert.match(cluster.password.reveal(), /^[\w-]{32}$/);
    assert.equal((await stat(path.join(dataDir, 'etcd-root-password'))).mode & 0o777, 0o600);

    await assert.rejects(client(cluster, new Secret('wrong')).get('a').string(), /authentication failed/);
    await assert.rejects(anonymous(cluster).get('a').string(), /user name is empty|permission denied/);
    const stranger = new Etcd3({ hosts: [...cluster.endpoints], dialTimeout: 500 }); // plain text
    cleanups.push(() => stranger.close());
    await assert.rejects(stranger.get('a').string());

    const { members } = await client(cluster).cluster.memberList({});
    assert.deepEqual(
      members.map(({ name, clientURLs }) => ({ name, clientURLs })),
      [{ name: 'etcd-1', clientURLs: [...cluster.endpoints] }],
    );
  });

  it('keeps data, endpoints, CA and password over a restart', async () => {
    const first = await start(binaries[0]);
    await client(first).put('kept').value('yes');
    await first.stop();
    await first.stop();
    assert.deepEqual(await running(), []);
    const startedAt = Date.now();
    const second = await start(binaries[0]);
    const took = Date.now() - startedAt;
    assert.equal(await client(second).get('kept').string(), 'yes');
    assert.deepEqual(second.endpoints, first.endpoints);
    assert.equal(second.caCertificate, first.caCertificate);
    assert.equal(second.password.reveal(), first.password.reveal());
    assert.ok(took < 3_000, `expected a second start well under 3 s, took ${took} ms`);
    assert.deepEqual(logged, [], 'an uneventful life logs nothing');
  });

  it('forms a cluster of three, which loses a member and keeps its data', async () => {
    for (const binary of new Set([binaries[0], binaries.at(-1)])) {
      dataDir = await mkdtemp(path.join(dataDir, 'three-'));
      const first = await start(binary, { members: 3 });
      await client(first).put('kept').value('yes');
      assert.equal(new Set(first.endpoints).size, 3);
      process.kill(first.members[1]?.pid ?? 0, 'SIGKILL');
      assert.equal(await client(first).get('kept').string(), 'yes');
      await first.stop();
      await assert.rejects(
        start(binary),
        /^Error: DATA_DIR holds a cluster of 3 members, EMBEDDED_MEMBERS asks for 1: use another DATA_DIR or set EMBEDDED_MEMBERS=3$/,
      );
      const { peerPort } = (await layout()).members[2];
      const other = await occupy(peerPort);
      await assert.rejects(
        start(binary, { members: 3 }),
        new RegExp(`^Error: The peer port ${peerPort} of etcd-3 is busy: end the program that has it$`),
      );
      await new Promise((resolve) => other.close(resolve));
      const second = await start(binary, { members: 3 });
      assert.equal(await client(second).get('kept').string(), 'yes');
      assert.deepEqual(second.endpoints, first.endpoints);
      await second.stop();
    }
  }).timeout(60_000);

  it('refuses the data of a newer etcd, and goes on with that one', async function () {
    const [older, newer] = [binaries[0], binaries.at(-1)];
    if (older?.version.split('.')[1] === newer?.version.split('.')[1]) {
      this.skip();
    }
    const cluster = await start(newer);
    await cluster.stop();
    await assert.rejects(
      start(older),
      new RegExp(
        `^Error: DATA_DIR ${dataDir} was last used by etcd ${newer?.version}, whose data etcd ${older?.version} can't read: set ETCD_BINARY`,
      ),
    );
    await start(newer);
  });

  it('works with etcdctl', async () => {
    const cluster = await start(binaries[0]);
    const output = await runCommand(await etcdctl(), ['endpoint', 'health'], {
      timeoutMs: 10_000,
      env: {
        ETCDCTL_API: '3',
        ETCDCTL_ENDPOINTS: cluster.endpoints.join(','),
        ETCDCTL_CACERT: path.join(dataDir, 'certificates', 'ca.pem'),
        ETCDCTL_USER: `root:${cluster.password.reveal()}`,
      },
    });
    assert.match(output, /is healthy|^$/);
  });

  it('shows no password on command lines', async () => {
    const cluster = await start(binaries[0]);
    const table = await runCommand('ps', ['-axww', '-o', 'command='], { timeoutMs: 5_000 });
    assert.ok(!table.includes(cluster.password.reveal()));
  });

  it('dies with its owner, however it dies, and the next start goes on', async () => {
    const owner = await ownerProcess(binaries[0]);
    assert.deepEqual(await running(), [owner.etcd]);
    await assert.rejects(start(binaries[0]), /is in use by another broker: stop it/);
    await owner.kill();
    const cluster = await start(binaries[0]); // at once: it waits for what is still dying
    assert.deepEqual(await running(), [cluster.members[0]?.pid]);
    assert.equal(await client(cluster).get('nothing').string(), null);
  });

  it('leaves nothing behind when its owner is killed', async () => {
    const owner = await ownerProcess(binaries[0]);
    await owner.kill();
    await eventually('no etcd', async () => ((await running()).length === 0 ? true : undefined), 4_000);
  });

  it('starts again a member that dies, until it is stopped', async () => {
    const cluster = await start(binaries[0]);
    const etcd = client(cluster);
    await etcd.put('kept').value('yes');
    const before = cluster.members[0]?.pid;
    process.kill(before ?? 0, 'SIGKILL');
    const after = await eventually('another process', async () => {
      const pid = cluster.members[0]?.pid;
      return pid !== before ? pid : undefined;
    });
    assert.notEqual(after, before);
    await eventually('an answer', async () => (await client(cluster).get('kept').string()) ?? undefined);
    assert.match(
      logged.join('\n'),
      /error etcd member etcd-1 was ended by signal 9: starting it again in 100 ms/,
    );
    await cluster.stop();
    assert.deepEqual(await running(), []);
    assert.equal(cluster.members[0]?.pid, undefined);
  });

  it('finishes what a kill between the steps of its first start left', async () => {
    // What a start that was cut off before its last step leaves: the user exists, authentication is off.
    const first = await start(binaries[0]);
    await client(first).auth.authDisable();
    const etcd = anonymous(first);
    await etcd.auth.userRevokeRole({ name: 'root', role: 'root' });
    await etcd.auth.roleDelete({ role: 'root' });
    await first.stop();
    await writeFile(path.join(dataDir, 'etcd-root-password'), 'another\n');
    const second = await start(binaries[0]);
    assert.equal(await client(second).get('nothing').string(), null);
    await second.stop();
    await writeFile(path.join(dataDir, 'etcd-root-password'), 'wrong\n');
    await assert.rejects(start(binaries[0]), /knows another root password than the file etcd-root-password/);
  });

  it('listens on another port while its own is busy, and goes back', async () => {
    const first = await start(binaries[0]);
    await client(first).put('kept').value('yes');
    await first.stop();
    const other = await occupy(Number(new URL(first.endpoints[0] ?? '').port));
    const second = await start(binaries[0]);
    assert.notDeepEqual(second.endpoints, first.endpoints);
    assert.match(
      logged.join('\n'),
      /warn Port \d+ of etcd-1 is busy: until the next start it listens on \d+/,
    );
    assert.equal(await client(second).get('kept').string(), 'yes');
    assert.deepEqual((await runningEmbeddedCluster(dataDir)).endpoints, second.endpoints);
    await second.stop();
    await new Promise((resolve) => other.close(resolve));
    assert.deepEqual((await start(binaries[0])).endpoints, first.endpoints);
  });

  it('names the file that is damaged or gone, on one line, and replaces none that matters', async () => {
    const first = await start(binaries[0]);
    await first.stop();
    for (const name of ['embedded.json', 'etcd-root-password', 'certificates/ca.pem']) {
      const file = path.join(dataDir, name);
      const content = await readFile(file, 'utf8');
      await writeFile(file, '');
      await assert.rejects(start(binaries[0]), (error: Error) => {
        assert.match(error.message, /^[^\n]*damaged[^\n]*$/);
        assert.ok(error.message.includes(file), error.message);
        return true;
      });
      await writeFile(file, content);
    }
    const password = path.join(dataDir, 'etcd-root-password');
    await rm(password);
    await assert.rejects(start(binaries[0]), new RegExp(`^Error: The file ${password} is missing`));
    await assert.rejects(
      keptEncryptionKey(dataDir),
      /broker-encryption-key is missing.*BROKER_ENCRYPTION_KEY/,
    );
    await writeFile(path.join(dataDir, 'broker-encryption-key'), '\n');
    await assert.rejects(keptEncryptionKey(dataDir), /broker-encryption-key is damaged/);
  });

  it('says on one line that a data folder can not be used', async () => {
    const file = path.join(dataDir, 'file');
    await writeFile(file, '');
    for (const bad of [file, path.join(file, 'data')]) {
      await assert.rejects(start(binaries[0], { dataDir: bad }), (error: Error) => {
        assert.match(error.message, /^DATA_DIR \S+ can't be used \([^\n]*\): set it to a folder/);
        assert.ok(error.message.includes(bad), error.message);
        return true;
      });
    }
  });

  it('takes preferred ports for a new cluster', async () => {
    const server = await occupy(0);
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const cluster = await start(binaries[0], { clientPorts: [port] });
    assert.notEqual(cluster.endpoints[0], `https://localhost:${port}`);
    server.close();
  });

  it('serves a renewed certificate without a restart', async () => {
    const cluster = await start(binaries[0]);
    const pid = cluster.members[0]?.pid;
    const before = await servedSerial(cluster);
    await rm(path.join(dataDir, 'certificates', 'server.pem'));
    assert.deepEqual(await cluster.renewCertificates(), ['server']);
    assert.notEqual(await servedSerial(cluster), before);
    assert.equal(cluster.members[0]?.pid, pid);
  });

  it("fails with etcd's last lines when etcd can not start", async () => {
    const startedAt = Date.now();
    await assert.rejects(
      start(binaries[0], { extraArguments: ['--election-timeout=1'] }),
      /etcd member etcd-1 ended with status \d+ while starting: .*--election-timeout/,
    );
    assert.ok(Date.now() - startedAt < 3_000);
    // An etcd that starts and never serves.
    const silent = path.join(dataDir, 'silent');
    await writeFile(silent, '#!/bin/sh\necho waiting >&2\nexec sleep 30\n', { mode: 0o755 });
    await assert.rejects(
      start({ path: silent, version: '3.5.0', source: 'PATH' }, { startTimeoutMs: 500 }),
      /etcd did not become healthy in time: waiting/,
    );
    await start(binaries[0]); // the folder is free again
  });
});

async function servedSerial(cluster: EmbeddedCluster): Promise<string> {
  const port = Number(new URL(cluster.endpoints[0] ?? '').port);
  return await new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: cluster.caCertificate });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      resolve(new X509Certificate(socket.getPeerCertificate().raw).serialNumber);
      socket.end();
    });
  });
}

describe('Several embedded clusters that start at once', () => {
  it('find ports although each looks for the same ones', async () => {
    const binary = (await availableEtcds())[0];
    assert.ok(binary);
    const folders = await Promise.all(
      Array.from({ length: 4 }, () => mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-test-'))),
    );
    const started = await Promise.allSettled(
      folders.map((dataDir) => startEmbeddedCluster({ dataDir, binary, members: 1, log: () => undefined })),
    );
    try {
      const ports = started.map((result) => {
        assert.equal(result.status, 'fulfilled', String((result as PromiseRejectedResult).reason));
        return (result as PromiseFulfilledResult<EmbeddedCluster>).value.endpoints[0];
      });
      assert.equal(new Set(ports).size, 4);
    } finally {
      await Promise.all(started.map((result) => result.status === 'fulfilled' && result.value.stop()));
      await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
    }
  });
});
