import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Etcd3 } from 'etcd3';
import { openCertificates } from '../../src/embedded/certificates.js';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { runCli } from '../support/cli.js';
import { freePorts, OperatorEtcd } from '../support/operator-etcd.js';
import { PortalProcess } from '../support/portal-process.js';
import { type Credentials, connect } from '../support/tenant.js';

const KEY = '/example/words/hello';

async function eventually(what: () => Promise<unknown>): Promise<void> {
  const endAt = performance.now() + 15_000;
  for (;;) {
    try {
      await what();
      return;
    } catch (error) {
      if (performance.now() > endAt) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

describe('compose-etcd-broker portal', () => {
  let etcd: OperatorEtcd;
  let broker: TestBroker;
  let settings: Record<string, string>;
  let ports: number[];
  let folder: string;
  let credentials: Credentials;
  const portals: PortalProcess[] = [];
  const byPort = new Map<number, PortalProcess>();
  const clients: Etcd3[] = [];

  const startPortal = async (port: number, more: Record<string, string> = {}) => {
    const portal = await PortalProcess.start({ ...settings, PORTAL_LISTEN: `127.0.0.1:${port}`, ...more });
    portals.push(portal);
    byPort.set(port, portal);
    return portal;
  };
  const open = (...uris: [string, ...string[]]) => {
    const client = connect(credentials, ...uris);
    clients.push(client);
    return client;
  };

  /** HTTP/JSON at the first portal, trusting nothing but the authority of the credentials. */
  const gateway = (address: string, body: object, token?: string) =>
    new Promise<{ token?: string; kvs?: { value: string }[] }>((resolve, reject) => {
      const options = {
        method: 'POST',
        ca: Buffer.from(credentials.ca_certificate_base64, 'base64'),
        agent: false,
        timeout: 5_000,
        ...(token === undefined ? {} : { headers: { authorization: token } }),
      };
      const url = new URL(address, new URL(credentials.uri).origin);
      const asked = request(url, options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve(JSON.parse(text)));
      });
      asked.on('timeout', () => asked.destroy(new Error('No answer')));
      asked.on('error', reject);
      asked.end(JSON.stringify(body));
    });

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-test-'));
    etcd = await OperatorEtcd.start();
    ports = await freePorts(4);
    const endpoints = ports.slice(0, 2).map((port) => `https://localhost:${port}`);
    settings = { ...etcd.settings, PORTAL: 'on', PORTAL_ENDPOINTS: endpoints.join(',') };
    broker = await startTestBroker(settings);
    const root = { ...settings, BROKER_USERNAME: 'platform', BROKER_PASSWORD: 'a-long-password' };
    const made = await runCli(['portal-access', '--json'], root);
    assert.equal(made.code, 0, made.stderr);
    const { username, password } = JSON.parse(made.stdout);
    // The portals do not get the broker's own login.
    const { ETCD_USERNAME: _user, ETCD_PASSWORD: _password, ...rest } = settings;
    settings = { ...rest, PORTAL_ETCD_USERNAME: username, PORTAL_ETCD_PASSWORD: password };
    await Promise.all([startPortal(ports[0] as number), startPortal(ports[1] as number)]);
    await broker.provision('i');
    credentials = (await broker.bind('i', 'b')).body.credentials;
  });
  after(async () => {
    for (const client of clients) {
      client.close();
    }
    await Promise.all(portals.map((portal) => portal.end('SIGKILL')));
    await broker?.dispose();
    await etcd?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('serves with a certificate of the authority that credentials name', async () => {
    await open(credentials.uri).put(KEY).value('world');
    assert.equal(
      await open(credentials.uri_direct_1 as string)
        .get(KEY)
        .string(),
      'world',
    );
  });

  it('fails over when one is killed, and back when it returns', async () => {
    const both = open(credentials.uri, credentials.uri_direct_1 as string);
    await both.put(KEY).value('before');
    assert.equal(await byPort.get(ports[0] as number)?.end('SIGKILL'), 'SIGKILL');
    await eventually(async () => both.put(KEY).value('after').exec());
    await startPortal(ports[0] as number);
    const first = open(credentials.uri);
    await eventually(async () => assert.equal(await first.get(KEY).string(), 'after'));
  });

  it('serves on while the broker is stopped', async () => {
    await broker.application.stop();
    await open(credentials.uri).put(KEY).value('without a broker');
    assert.equal(
      await open(credentials.uri_direct_1 as string)
        .get(KEY)
        .string(),
      'without a broker',
    );
    await broker.start();
  });

  it('reads a renewed certificate without dropping a connection, takes the PROXY protocol, tells its health', async () => {
    const hosts = ['localhost'];
    const leaf = (name: string) => ({ name, subject: 'CN=portal', use: 'server' as const, hosts });
    const certificates = await openCertificates(folder, [leaf('one'), leaf('two')]);
    const file = path.join(folder, 'served.pem');
    const { readFile } = await import('node:fs/promises');
    await writeFile(file, await readFile(certificates.file('one')));
    const [, , port, healthPort] = ports as [number, number, number, number];
    const portal = await startPortal(port, {
      PORTAL_TLS_CERT: file,
      PORTAL_TLS_KEY: file,
      PORTAL_PROXY_PROTOCOL: 'true',
      PORTAL_HEALTH_PORT: String(healthPort),
    });
    const health = await fetch(`http://127.0.0.1:${healthPort}/health`);
    assert.deepEqual([health.status, await health.json()], [200, { status: 'ok' }]);
    const metrics = await (await fetch(`http://127.0.0.1:${healthPort}/metrics`)).text();
    assert.match(metrics, /^compose_etcd_portal_connections\{portal="portal-1"\} \d+$/m);
    assert.match(
      metrics,
      /^compose_etcd_portal_certificate_expiry_timestamp_seconds\{portal="portal-1"\} \d/m,
    );

    const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
    const header = Buffer.concat([signature, Buffer.from('2111000cc0000201c00002020001094b', 'hex')]);
    const dial = (before: Buffer): Promise<TLSSocket> =>
      new Promise((resolve, reject) => {
        const tcp = connectTcp(port, '127.0.0.1', () => {
          tcp.write(before);
          const socket = connectTls({
            socket: tcp,
            servername: 'localhost',
            ca: certificates.caCertificate,
            ALPNProtocols: ['h2'],
          });
          socket.once('secureConnect', () => resolve(socket));
          socket.once('error', reject);
          socket.once('close', () => reject(new Error('closed')));
        });
        tcp.once('error', reject);
      });
    const serial = (socket: TLSSocket) => socket.getPeerX509Certificate()?.serialNumber;
    const first = await dial(header);
    await assert.rejects(dial(Buffer.alloc(0)), /closed|ECONNRESET|disconnected/);
    const before = serial(first);
    await writeFile(file, await readFile(certificates.file('two')));
    await eventually(async () => {
      const next = await dial(header);
      const now = serial(next);
      next.destroy();
      assert.notEqual(now, before);
    });
    assert.equal(first.destroyed, false);
    first.destroy();
    assert.equal(await portal.end('SIGTERM'), 0);
  });

  it('a rolling restart loses no request, and no event of a watch', async () => {
    const uris = [credentials.uri, credentials.uri_direct_1 as string] as const;
    const writer = open(...uris);
    const seen: string[] = [];
    const watcher = await open(...uris)
      .watch()
      .prefix('rolling/')
      .create();
    watcher.on('put', ({ key }) => seen.push(String(key)));
    let isOver = false;
    let count = 0;
    const writing = (async () => {
      for (; !isOver; count += 1) {
        // Once applied, a put is never answered with an error, so it can be sent again.
        await eventually(() => writer.put(`rolling/${count}`).value('x').exec());
      }
    })();
    for (const port of ports.slice(0, 2)) {
      const stoppedAt = performance.now();
      assert.equal(await byPort.get(port)?.end('SIGTERM'), 0);
      const took = performance.now() - stoppedAt;
      assert.ok(took < 2_000, `the stop took ${took} ms`);
      await startPortal(port);
    }
    isOver = true;
    await writing;
    assert.ok(count > 20, `${count} puts`);
    const { kvs } = await writer.getAll().prefix('rolling/').exec();
    assert.deepEqual(
      kvs.filter(({ version }) => version !== '1').map(({ key }) => String(key)),
      [],
    );
    assert.equal(kvs.length, count);
    await eventually(async () => assert.equal(seen.length, count));
    assert.deepEqual(
      seen,
      Array.from({ length: count }, (_, index) => `rolling/${index}`),
    );
  });

  it('knows its tokens and its authority after their key was rotated', async () => {
    const { BROKER_ENCRYPTION_KEY: older = '' } = settings;
    const newer = randomBytes(32).toString('base64');
    const root = {
      ...etcd.settings,
      PORTAL: 'on',
      PORTAL_ENDPOINTS: settings.PORTAL_ENDPOINTS as string,
      BROKER_USERNAME: 'platform',
      BROKER_PASSWORD: 'a-long-password',
    };
    const { token } = await gateway('/v3/auth/authenticate', {
      name: credentials.username,
      password: credentials.password,
    });
    const resealed = await runCli(['reseal', '--json'], {
      ...root,
      BROKER_ENCRYPTION_KEY: `${newer},${older}`,
    });
    assert.equal(resealed.code, 0, resealed.stderr);
    for (const port of ports.slice(0, 2)) {
      assert.equal(await byPort.get(port)?.end('SIGTERM'), 0);
      await startPortal(port, { BROKER_ENCRYPTION_KEY: newer });
    }
    await open(credentials.uri).put(KEY).value('after');
    const { kvs } = await gateway(
      '/v3/kv/range',
      { key: Buffer.from(KEY).toString('base64') },
      String(token),
    );
    assert.equal(kvs?.[0]?.value, Buffer.from('after').toString('base64'));
    const stale = await runCli(['portal'], { ...settings, PORTAL_LISTEN: '127.0.0.1:0' });
    assert.equal(stale.code, 1);
    assert.match(stale.stderr, /BROKER_ENCRYPTION_KEY/);
  });

  it('reports all mistakes in its settings at once', async () => {
    const { code, stderr } = await runCli(['portal'], {
      PORTAL_LISTEN: 'x:y:z',
      PORTAL: 'on',
      ETCD_ENDPOINTS: etcd.endpoint,
    });
    assert.equal(code, 1);
    for (const name of ['PORTAL_ENDPOINTS', 'BROKER_ENCRYPTION_KEY']) {
      assert.match(stderr, new RegExp(`^${name} `, 'm'));
    }
    const wrong = await runCli(['portal'], {
      ...settings,
      PORTAL_LISTEN: '127.0.0.1:0',
      PORTAL_ETCD_PASSWORD: 'wrong',
    });
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /Run "compose-etcd-broker portal-access"/);
  });
});
