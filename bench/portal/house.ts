import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Secret } from '../../src/credentials/secret.js';
import { type Certificates, openCertificates } from '../../src/embedded/certificates.js';
import { runningEmbeddedCluster } from '../../src/embedded/running.js';
import { EtcdClient } from '../../src/etcd/client.js';
import { targetOf } from '../../src/etcd/endpoints.js';
import { codecOf } from '../../src/etcd/messages/codec.js';
import { Connection, type ConnectionTarget } from '../../src/etcd/transport/connection.js';
import { grantPortalAccess } from '../../src/portal/access.js';
import { BrokerProcess, freePort } from '../broker-process.js';
import { sleep } from '../statistics.js';
import { Load, type LoadWay } from './load.js';
import { Peer } from './peer.js';
import type { PortalSettings } from './portal-process.js';
import { encodedCall, encodedCalls } from './requests.js';

const PROXY_WITHIN_MS = 15_000;
const SIGN_IN_WITHIN_MS = 10_000;
const STOP_WITHIN_MS = 5_000;
const POLL_MS = 50;

/** The ways to etcd that are compared. */
export const WAYS = ['direct', 'portal', 'grpc-proxy'] as const;
export type WayName = (typeof WAYS)[number];

interface Tenant {
  username: string;
  password: string;
  key_prefix: string;
}

/** A broker with its etcd, a portal and a grpc-proxy before that, and two processes that make load. */
export class House {
  readonly broker: BrokerProcess;
  readonly load = new Load();
  /** Of another tenant. */
  readonly other = new Load();
  portalPid = 0;
  proxyPid = 0;
  readonly #tenants: Tenant[] = [];
  readonly #targets = {} as Record<WayName, ConnectionTarget>;
  #portal: Peer | undefined;
  #proxy: ChildProcess | undefined;

  /** @param portalOptions Node's own for the portal's process, such as those of its profiler */
  constructor(
    readonly folder: string,
    readonly etcdBinary: string,
    readonly portalOptions: readonly string[] = [],
  ) {
    this.broker = new BrokerProcess(folder, etcdBinary);
  }

  async start(): Promise<void> {
    await this.broker.start();
    for (const name of ['first', 'second']) {
      await this.broker.provision(name);
      this.#tenants.push(JSON.parse(await this.broker.bind(name, `${name}-binding`)).credentials as Tenant);
    }
    const address = await runningEmbeddedCluster(this.broker.dataDir);
    this.#targets.direct = targetOf(address.endpoints[0] as string, address);
    const certificates = await openCertificates(path.join(this.folder, 'certificates'), [
      { name: 'proxy', subject: 'CN=proxy', use: 'server', hosts: ['127.0.0.1'] },
      // grpc-proxy wants one, without a common name, although etcd does not ask for it.
      { name: 'client', subject: 'O=proxy', use: 'client', hosts: [] },
    ]);
    const certificate = certificates.file('proxy');
    const tls = { ca: certificates.caCertificate };
    this.#targets.portal = { host: '127.0.0.1', port: await this.#startPortal(certificate), tls };
    this.#targets['grpc-proxy'] = {
      host: '127.0.0.1',
      port: await this.#startProxy(certificates, address.endpoints),
      tls,
    };
    const [first, second] = this.#tenants as [Tenant, Tenant];
    for (const name of WAYS) {
      await this.load.open(await this.#way(name, first));
    }
    await this.other.open(await this.#way('portal', second));
    await this.other.open(await this.#way('direct', second));
  }

  /** The logs' last lines, for a failure. */
  async lastLines(): Promise<string> {
    const proxys = await readFile(this.#proxyLog, 'utf8').catch(() => '');
    return `${await this.broker.lastLines()}\n${proxys.split('\n').slice(-5).join('\n')}`;
  }

  get #proxyLog(): string {
    return path.join(this.folder, 'grpc-proxy.log');
  }

  async stop(): Promise<void> {
    await Promise.all([this.load.stop(), this.other.stop()]);
    await this.#portal?.stop();
    const proxy = this.#proxy;
    if (proxy !== undefined && proxy.exitCode === null && proxy.signalCode === null) {
      const exit = once(proxy, 'exit');
      proxy.kill('SIGTERM');
      const timer = setTimeout(() => proxy.kill('SIGKILL'), STOP_WITHIN_MS);
      await exit;
      clearTimeout(timer);
    }
    await this.broker.stop();
  }

  async #startPortal(certificate: string): Promise<number> {
    const { dataDir } = this.broker;
    const password = randomBytes(16).toString('hex');
    const root = new EtcdClient(await runningEmbeddedCluster(dataDir));
    await grantPortalAccess(root, new Secret(password));
    root.close();
    this.#portal = new Peer(path.join(import.meta.dirname, 'portal-process.js'), this.portalOptions);
    this.portalPid = this.#portal.pid;
    const port = await freePort();
    await this.#portal.ask('start', { dataDir, password, certificate, port } satisfies PortalSettings);
    return port;
  }

  /** etcd's own proxy, in the first tenant's name space; it passes tokens on. */
  async #startProxy(certificates: Certificates, endpoints: readonly string[]): Promise<number> {
    const port = await freePort();
    const [{ key_prefix }] = this.#tenants as [Tenant];
    const args = [
      'grpc-proxy',
      'start',
      `--endpoints=${endpoints.join(',')}`,
      `--cacert=${path.join(this.broker.dataDir, 'certificates', 'ca.pem')}`,
      `--cert=${certificates.file('client')}`,
      `--key=${certificates.file('client')}`,
      `--cert-file=${certificates.file('proxy')}`,
      `--key-file=${certificates.file('proxy')}`,
      `--listen-addr=127.0.0.1:${port}`,
      `--advertise-client-url=127.0.0.1:${port}`,
      `--namespace=${key_prefix}`,
    ];
    const log = openSync(this.#proxyLog, 'a');
    const proxy = spawn(this.etcdBinary, args, {
      cwd: this.folder,
      // It is a client of its own too, and trusts the system's authorities there.
      env: { PATH: process.env.PATH, SSL_CERT_FILE: certificates.caFile },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#proxy = proxy;
    this.proxyPid = proxy.pid as number;
    return port;
  }

  async #way(name: WayName, tenant: Tenant): Promise<LoadWay> {
    const target = this.#targets[name];
    // grpc-proxy knows no users of its own: the token is etcd's.
    const token = await signIn(name === 'grpc-proxy' ? this.#targets.direct : target, tenant);
    await reachable(target);
    return { name, target, token, calls: encodedCalls(name === 'direct' ? tenant.key_prefix : '') };
  }
}

async function signIn(target: ConnectionTarget, { username, password }: Tenant): Promise<string> {
  const connection = await Connection.open(target);
  try {
    const { path: call, messages } = encodedCall('Auth/Authenticate', [{ name: username, password }]);
    const answer = await connection.unary(call, Buffer.from(messages[0] as string, 'base64'), {
      deadline: performance.now() + SIGN_IN_WITHIN_MS,
    });
    return codecOf('AuthenticateResponse').decode(answer).token as string;
  } finally {
    connection.close();
  }
}

async function reachable(target: ConnectionTarget): Promise<void> {
  const endAt = performance.now() + PROXY_WITHIN_MS;
  for (;;) {
    try {
      (await Connection.open(target)).close();
      return;
    } catch (error) {
      if (performance.now() > endAt) {
        throw error;
      }
      await sleep(POLL_MS);
    }
  }
}
