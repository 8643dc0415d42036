import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { Etcd3 } from 'etcd3';
import { Secret } from '../../src/credentials/secret.js';
import { startEmbeddedCluster } from '../../src/embedded/embedded-cluster.js';
import { runningEmbeddedCluster } from '../../src/embedded/running.js';
import { EtcdClient } from '../../src/etcd/client.js';
import { isEtcdError } from '../../src/etcd/errors.js';
import { instancePath, startTestBroker, type TestBroker } from '../support/broker.js';
import { brokerProcess } from '../support/broker-process.js';
import { runCli } from '../support/cli.js';
import { availableEtcds } from '../support/etcd-versions.js';
import { type Credentials, connect, runUriCli } from '../support/tenant.js';

const KEY = '/example/words/hello';

/** Repeats something until it works, at most 10 s. @returns how long that took, in milliseconds */
async function eventually(what: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    try {
      await what();
      return performance.now() - startedAt;
    } catch (error) {
      if (performance.now() - startedAt > 10_000) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

describe('A broker that runs its own portals', () => {
  let broker: TestBroker;
  const clients: Etcd3[] = [];
  const open = (credentials: Credentials, ...uris: [string, ...string[]]): Etcd3 => {
    const client = connect(credentials, ...uris);
    clients.push(client);
    return client;
  };
  const bind = async (instance: string, binding: string): Promise<Credentials> => {
    await broker.provision(instance);
    const reply = await broker.bind(instance, binding);
    assert.equal(reply.status, 201, reply.text);
    return reply.body.credentials;
  };

  before(async () => {
    broker = await startTestBroker({ PORTAL: 'on' });
  });
  afterEach(() => {
    for (const client of clients.splice(0)) {
      client.close();
    }
  });
  after(() => broker?.dispose());

  it('hands out two portals, by which an application uses whatever keys it likes', async () => {
    await broker.provision('sample');
    const { body } = await broker.bind('sample', 'app');
    const credentials: Credentials = body.credentials;
    const [first, second] = broker.application.endpoints;
    assert.equal(new URL(credentials.uri).origin, first);
    assert.equal(new URL(credentials.uri_direct_1 as string).origin, second);
    assert.ok(credentials.uri_cli.includes(` --endpoints=${first},${second} `));
    assert.equal(credentials.key_prefix, '');
    assert.deepEqual(
      body.endpoints.map(({ ports }: { ports: string[] }) => ports[0]),
      [first, second].map((endpoint) => new URL(endpoint as string).port),
    );
    // Straight after the bind, by the portal that did not see the first call.
    const [one, other] = [credentials.uri, credentials.uri_direct_1 as string].map((uri) =>
      open(credentials, uri),
    );
    await one?.put(KEY).value('world');
    assert.equal(await other?.get(KEY).string(), 'world');
    assert.deepEqual(await other?.getAll().keys(), [KEY]);
  });

  it('tells the size and the leases as the etcd that it runs does', async () => {
    const credentials = await bind('status', 'app');
    const client = open(credentials, credentials.uri);
    await client.put('k').value('v'.repeat(10_000));
    const lease = client.lease(60, { autoKeepAlive: false });
    const id = await lease.grant();
    await lease.put('leased').value('v');
    const unheld = client.lease(60, { autoKeepAlive: false });
    const other = await unheld.grant();
    const { version, dbSize } = await client.maintenance.status();
    assert.match(version, /^3\.\d+\.\d+$/);
    assert.ok(Number(dbSize) >= 10_000 && Number(dbSize) < 100_000, dbSize);
    const { leases } = await client.leaseClient.leaseLeases();
    assert.deepEqual(new Set(leases.map(({ ID }) => ID)), new Set([id, other]));
  });

  it('serves two bindings that use the same key names without a meeting', async () => {
    const [a, b] = [await bind('two', 'a'), await bind('two', 'b')];
    const [clientA, clientB] = [open(a, a.uri), open(b, b.uri)];
    await clientA.put(KEY).value('of a');
    assert.equal(await clientB.get(KEY).string(), null);
    await clientB.put(KEY).value('of b');
    assert.equal(await clientA.get(KEY).string(), 'of a');
    await clientB.delete().all();
    assert.equal(await clientA.get(KEY).string(), 'of a');
  });

  it('works with etcdctl as uri_cli says', async () => {
    const credentials = await bind('cli', 'app');
    const folder = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-test-'));
    try {
      const caFile = path.join(folder, 'ca.pem');
      await writeFile(caFile, Buffer.from(credentials.ca_certificate_base64, 'base64'));
      assert.equal(await runUriCli(credentials.uri_cli, caFile, 'put', KEY, 'world'), 'OK\n');
      assert.equal(await runUriCli(credentials.uri_cli, caFile, 'get', KEY), `${KEY}\nworld\n`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('says nothing of tenants that are not kept apart', async () => {
    assert.ok(!broker.said.some((line) => /does not keep tenants apart/.test(line)), broker.said.join('\n'));
    assert.equal((await broker.send('GET', '/ready')).body.isolation, undefined);
  });

  it("lets nobody without a certificate reach the embedded etcd's port", async () => {
    const { endpoints, caCertificate } = await runningEmbeddedCluster(broker.dataDir);
    const port = Number(new URL(endpoints[0] as string).port);
    const refusal = await new Promise<string>((resolve) => {
      const socket = connectTls({
        port,
        host: '127.0.0.1',
        servername: 'localhost',
        ca: caCertificate as string,
      });
      // TLS 1.3 lets the client speak before the server has looked at its certificate.
      socket.once('secureConnect', () => socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'));
      socket.once('data', () => resolve('answered'));
      socket.once('error', (error) => resolve(error.message));
      socket.once('close', () => resolve('closed'));
    });
    assert.match(refusal, /alert|bad certificate|certificate required/);
    const credentials = await bind('port', 'app');
    const client = connect(credentials, credentials.uri.replace(/:\d+$/, `:${port}`));
    clients.push(client);
    await assert.rejects(client.get(KEY).string());
  });

  it("cuts a watch within a second of an unbind's answer, at both portals", async () => {
    const credentials = await bind('cut', 'app');
    const ends: Promise<number>[] = [];
    for (const uri of [credentials.uri, credentials.uri_direct_1 as string]) {
      const client = open(credentials, uri);
      const watcher = await client.watch().prefix('').create();
      ends.push(
        new Promise((resolve) => {
          watcher.once('disconnected', () => resolve(performance.now()));
          watcher.once('error', () => resolve(performance.now()));
        }),
      );
    }
    assert.equal((await broker.unbind('cut', 'app')).status, 200);
    const answeredAt = performance.now();
    for (const end of ends) {
      assert.ok((await end) - answeredAt < 1_000);
    }
  });

  it('lets in whom the whitelist names, from its creation on, and cuts the others off when it changes', async () => {
    const update = (whitelist: object[]) =>
      broker.send('PATCH', instancePath('listed'), {
        body: { service_id: broker.service.id, parameters: { whitelist } },
      });
    const elsewhere = [{ ip: '192.0.2.0/24', description: 'office' }];
    const here = [...elsewhere, { ip: '127.0.0.0/8' }, { ip: '::1' }];
    const created = await broker.provision('listed', { parameters: { whitelist: elsewhere } });
    assert.equal(created.status, 201, created.text);
    const credentials: Credentials = (await broker.bind('listed', 'app')).body.credentials;
    await assert.rejects(open(credentials, credentials.uri).get(KEY).string(), /permission denied/);
    assert.equal((await update(here)).status, 200);
    const client = open(credentials, credentials.uri);
    await eventually(() => open(credentials, credentials.uri).get(KEY).string());
    const watcher = await client.watch().prefix('').create();
    const ended = once(watcher, 'disconnected');
    assert.equal((await update(elsewhere)).status, 200);
    const changedAt = performance.now();
    await ended;
    assert.ok(performance.now() - changedAt < 1_000);
    await assert.rejects(client.get(KEY).string());
    assert.equal((await update([])).status, 200);
    await eventually(() => open(credentials, credentials.uri).get(KEY).string());
    const fetched = await broker.send('GET', instancePath('listed'));
    assert.deepEqual(fetched.body.parameters, { whitelist: [] });
    for (const [entry, problem] of [
      [{ ip: '10.1.2.3/8' }, /whitelist\[0\]\.ip has bits set .*write 10\.0\.0\.0\/8/],
      [{ ip: 'office' }, /whitelist\[0\]\.ip must be an IPv4 or IPv6 address/],
      [{ address: '10.0.0.1' }, /whitelist/],
    ] as const) {
      const reply = await update([entry]);
      assert.equal(reply.status, 400);
      assert.match(reply.body.description, problem);
    }
  });

  it('goes on with the other portal when one dies, and starts it again', async () => {
    const credentials = await bind('killed', 'app');
    const both = open(credentials, credentials.uri, credentials.uri_direct_1 as string);
    const first = open(credentials, credentials.uri);
    await both.put(KEY).value('before');
    await first.get(KEY).string();
    await broker.application.portals?.workers[0]?.kill();
    const outage = await eventually(async () => both.put(KEY).value('after').exec());
    assert.ok(outage < 5_000, `it took ${outage} ms`);
    await eventually(() => first.get(KEY).string());
    assert.equal(await first.get(KEY).string(), 'after');
    assert.ok(
      broker.logged.some((line) => /A portal has ended/.test(line) && /"portal":"portal-1"/.test(line)),
    );
  });

  it("has tools that find etcd by the broker's certificate", async () => {
    const { code, stdout, stderr } = await runCli(['check'], { DATA_DIR: broker.dataDir });
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /Nothing differs/);
    assert.ok(!stdout.includes('keep tenants apart'));
  });
});

describe('A broker with portals in a process of its own', () => {
  it('keeps its portals’ ports over a restart, ends on SIGTERM in time, and lets old credentials work on', async () => {
    const broker = await brokerProcess({ PORTAL: 'on' });
    let client: Etcd3 | undefined;
    try {
      await broker.start();
      await broker.provision('i');
      const credentials: Credentials = (await broker.bind('i', 'b')).body.credentials;
      client = connect(credentials, credentials.uri, credentials.uri_direct_1 as string);
      await client.put(KEY).value('world');
      const watcher = await client.watch().key(KEY).create(); // an open stream must not hold the stop up
      const said = /portals (.*)/.exec(broker.stdout)?.[1];
      const stoppedAt = performance.now();
      const { code } = await broker.end('SIGTERM');
      assert.equal(code, 0);
      const took = performance.now() - stoppedAt;
      assert.ok(took < 10_000, `the stop took ${took} ms`);
      assert.deepEqual(await broker.etcds(), []);
      await watcher.cancel().catch(() => undefined);
      await broker.start();
      assert.equal(/portals (.*)/.exec(broker.stdout)?.[1], said);
      await eventually(async () => assert.equal(await client?.get(KEY).string(), 'world'));
    } finally {
      client?.close();
      await broker.dispose();
    }
  });
});

describe('An embedded etcd that demands certificates', () => {
  for (const version of ['3.4.23', '3.5.16']) {
    it(`gives a certificate without a token no rights, and a token its own alone, in etcd ${version}`, async function () {
      const binary = (await availableEtcds()).find((etcd) => etcd.version === version);
      if (binary === undefined) {
        this.skip();
      }
      const dataDir = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-test-'));
      const cluster = await startEmbeddedCluster({
        dataDir,
        binary,
        members: 1,
        clientPorts: [0],
        clientCertificates: true,
        log: () => undefined,
      });
      const { endpoints, caCertificate } = cluster;
      const opened: EtcdClient[] = [];
      const as = (address: object) => {
        const client = new EtcdClient({ endpoints, caCertificate, ...address });
        opened.push(client);
        return client;
      };
      try {
        const portal = await cluster.identityOf('portal');
        const { clientCertificate, clientKey, username, password } = cluster;
        const root = as({ clientCertificate, clientKey, username, password });
        await root.kv.put({ key: Buffer.from('/d/a'), value: Buffer.from('1') });
        await root.auth.roleAdd({ name: 'tenant' });
        await root.auth.roleGrantPermission({
          name: 'tenant',
          perm: { permType: 'Readwrite', key: Buffer.from('/d/a'), range_end: Buffer.alloc(0) },
        });
        await root.auth.userAdd({ name: 'tenant', password: 'a password' });
        await root.auth.userGrantRole({ user: 'tenant', role: 'tenant' });
        const login = { username: 'tenant', password: new Secret('a password') };
        // A certificate's name is no user's: "user name not found".
        const denied = (call: Promise<unknown>) =>
          assert.rejects(call, (error) =>
            (['denied', 'signed-out', 'not-found'] as const).some((kind) => isEtcdError(error, kind)),
          );
        const range = (client: EtcdClient, key: string) => client.kv.range({ key: Buffer.from(key) });
        for (const identity of [portal, { clientCertificate, clientKey }]) {
          const nobody = as(identity);
          await denied(range(nobody, '/d/a'));
          await denied(nobody.kv.put({ key: Buffer.from('/d/a'), value: Buffer.from('2') }));
          await denied(nobody.auth.userList());
          const tenant = as({ ...identity, ...login });
          assert.equal((await range(tenant, '/d/a')).kvs[0]?.value.toString(), '1');
          await denied(range(tenant, '/d/b'));
          await denied(tenant.auth.userAdd({ name: 'x', password: 'y' }));
        }
        // The server's and the portals' own certificates serve; they do not open the door.
        await assert.rejects(range(as(login), '/d/a'));
      } finally {
        for (const client of opened) {
          client.close();
        }
        await cluster.stop();
        await rm(dataDir, { recursive: true, force: true });
      }
    });
  }
});
