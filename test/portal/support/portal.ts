import { randomBytes } from 'node:crypto';
import { Etcd3 } from 'etcd3';
import { Sealer } from '../../../src/credentials/seal.js';
import { Secret } from '../../../src/credentials/secret.js';
import { presentEncryptionKey } from '../../../src/embedded/kept-secrets.js';
import type { EtcdClient } from '../../../src/etcd/client.js';
import { openLog } from '../../../src/observability/log.js';
import { grantPortalAccess, PORTAL_USER } from '../../../src/portal/access.js';
import type { Portal } from '../../../src/portal/portal.js';
import { type RunningPortal, type StartOptions, startPortal } from '../../../src/portal/start.js';
import { EtcdProxy } from '../../faults/support/etcd-proxy.js';
import { startTestBroker, type TestBroker } from '../../support/broker.js';
import { endingWatches } from '../../support/etcd3-client.js';
import { freePorts } from '../../support/operator-etcd.js';
import { rootConnection } from '../../support/root-connection.js';
import type { Credentials } from '../../support/tenant.js';

const CALL_TIMEOUT_MS = 10_000;
const QUOTA = 256 << 20;

/** A broker on an etcd of its own with a portal before it, and clients of tenants through the portal. */
export class PortalHouse {
  readonly logged: string[] = [];
  running!: RunningPortal;
  root!: EtcdClient;
  /** Between the portal and etcd, where it was asked for. */
  proxy!: EtcdProxy;
  url = '';
  /** Where the portal finds etcd, when that is not etcd itself. */
  way: { endpoints?: string[] } = {};
  #port = 0;
  readonly #password = new Secret(randomBytes(16).toString('hex'));
  readonly #clients = new Set<Etcd3>();

  constructor(readonly broker: TestBroker) {}

  static async start(
    env: Record<string, string> = {},
    options: Partial<StartOptions> = {},
    isProxied = false,
  ): Promise<PortalHouse> {
    const house = new PortalHouse(await startTestBroker(env));
    try {
      house.root = await rootConnection(house.broker);
      await grantPortalAccess(house.root, house.#password);
      if (isProxied) {
        house.proxy = await EtcdProxy.start(
          house.root.address.endpoints[0] as string,
          house.root.address.caCertificate as string,
        );
        house.way = { endpoints: [house.proxy.endpoint] };
      }
      await house.startPortal(options);
      return house;
    } catch (error) {
      await house.stop();
      throw error;
    }
  }

  async startPortal(options: Partial<StartOptions> = {}): Promise<void> {
    this.running = await startPortal({ ...(await this.options()), ...options });
  }

  /** What this house's portal is started with. */
  async options(): Promise<StartOptions> {
    const key = await presentEncryptionKey(this.broker.dataDir);
    if (key === undefined) {
      throw new Error('The broker keeps no encryption key');
    }
    if (this.#port === 0) {
      [this.#port = 0] = await freePorts(1);
      this.url = `http://127.0.0.1:${this.#port}`;
    }
    return {
      cluster: { ...this.root.address, ...this.way, username: PORTAL_USER, password: this.#password },
      seals: new Sealer([key]),
      host: '127.0.0.1',
      port: this.#port,
      endpoints: [this.url],
      quotaOf: () => QUOTA,
      defaultQuota: QUOTA,
      log: openLog('debug', { write: (line: string) => this.logged.push(line) }),
    };
  }

  get portal(): Portal {
    return this.running.portal;
  }

  async stopPortal(): Promise<void> {
    await this.running?.stop();
  }

  /** Another instance's only binding, or one more of an instance. */
  async bind(instance: string, binding: string, parameters?: object): Promise<Credentials> {
    const provisioned = await this.broker.provision(instance);
    const bound = await this.broker.bind(instance, binding, parameters === undefined ? {} : { parameters });
    if (provisioned.status >= 300 || bound.status !== 201) {
      throw new Error(`No binding: ${provisioned.text} ${bound.text}`);
    }
    const { credentials } = bound.body as { credentials: Credentials };
    await until(() => this.portal.directory.find(credentials.username) !== undefined);
    return credentials;
  }

  /** etcd3 as an application uses it, signed in through the portal. */
  client({ username, password }: Pick<Credentials, 'username' | 'password'>): Etcd3 {
    const client = endingWatches(
      new Etcd3({
        hosts: this.url,
        auth: { username, password },
        defaultCallOptions: (context) => (context.isStream ? {} : { deadline: Date.now() + CALL_TIMEOUT_MS }),
      }),
    );
    this.#clients.add(client);
    return client;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) {
      client.close();
    }
    await this.stopPortal();
    await this.proxy?.stop();
    this.root?.close();
    await this.broker.dispose();
  }
}

/** Waits for a positive sign, at most 5 s. */
export async function until(sign: () => boolean | Promise<boolean>, ms = 5_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await sign())) {
    if (performance.now() > end) {
      throw new Error(`Waited in vain for ${sign}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
