import path from 'node:path';
import type { Catalog } from './catalog/types.js';
import type { Config, PortalSettings } from './config/config.js';
import type { EncryptionKey } from './credentials/seal.js';
import type { LeafRequest } from './embedded/certificates.js';
import { type EmbeddedCluster, LOOPBACK_HOSTS } from './embedded/embedded-cluster.js';
import { keptPortalPassword } from './embedded/kept-secrets.js';
import { keptPorts } from './embedded/ports.js';
import type { EtcdClient } from './etcd/client.js';
import type { Logger } from './observability/log.js';
import { grantPortalAccess, PORTAL_USER } from './portal/access.js';
import type { ToldPortal } from './portal/metrics/prometheus.js';
import { DEFAULT_QUOTA, quotasOf } from './portal/quotas.js';
import { hostsOf } from './portal/tls.js';
import type { PortalJob } from './portal/worker-job.js';
import { PortalWorker } from './portal/workers.js';

/** Beside etcd's own 2379 and 2380. */
const USUAL_PORTS = [2391, 2392];
const SERVER = 'portal-server';

/** The portals that a broker with an embedded etcd runs itself, each in a thread of its own. */
export class OwnPortals {
  readonly workers: readonly PortalWorker[];
  /** What credentials name; known when the data folder is this process's own, see {@link prepare}. */
  endpoints: readonly string[] = [];
  #listen: readonly { host?: string; port: number }[] = [];

  /** Starts the threads, which load while etcd starts. */
  constructor(
    readonly settings: PortalSettings,
    readonly config: Config,
    readonly log: Logger,
  ) {
    const count = settings.endpoints.length || settings.listen.length || USUAL_PORTS.length;
    this.workers = Array.from({ length: count }, (_, index) => new PortalWorker(`portal-${index + 1}`, log));
  }

  /** What the embedded authority is to issue for them. */
  get certificates(): LeafRequest[] {
    const hosts = [...new Set([...LOOPBACK_HOSTS, ...hostsOf(this.settings.endpoints)])];
    return [{ name: SERVER, subject: 'CN=compose-etcd-portal', use: 'server', hosts }];
  }

  /**
   * Decides where they listen.
   * @throws Error with one line
   */
  async prepare(): Promise<void> {
    const { endpoints, listen } = this.settings;
    if (listen.some(({ port }) => port !== 0)) {
      this.#listen = listen;
    } else if (endpoints.length > 0) {
      // Who names hosts wants to be reached from there.
      this.#listen = endpoints.map((endpoint) => ({ port: Number(portOf(endpoint)) }));
    } else {
      const wanted = this.workers.map((_, index) => (listen.length > 0 ? 0 : (USUAL_PORTS[index] ?? 0)));
      const ports = await keptPorts(
        path.join(this.config.dataDir, 'portals.json'),
        wanted,
        (level, message) => this.log[level]({}, message),
      );
      this.#listen = ports.map((port, index) => ({ host: listen[index]?.host ?? '127.0.0.1', port }));
    }
    this.endpoints =
      endpoints.length > 0 ? endpoints : this.#listen.map(({ port }) => `https://localhost:${port}`);
  }

  /**
   * Makes their etcd user and waits until all of them listen.
   * @param root a client that may change users and roles
   * @throws Error with one line
   */
  async start(
    embedded: EmbeddedCluster,
    root: EtcdClient,
    encryptionKeys: readonly EncryptionKey[],
    catalog: Catalog,
  ): Promise<void> {
    const password = await keptPortalPassword(this.config.dataDir);
    await grantPortalAccess(root, password);
    const { clientCertificate, clientKey } = await embedded.identityOf('portal');
    const common = {
      cluster: {
        endpoints: embedded.endpoints,
        caCertificate: embedded.caCertificate,
        clientCertificate,
        clientKey: clientKey.reveal(),
        username: PORTAL_USER,
        password: password.reveal(),
      },
      encryptionKeys: encryptionKeys.map(({ id, key }) => ({ id, key: key.reveal() })),
      endpoints: this.endpoints,
      certificate: this.#certificate(embedded.certificateFile(SERVER)),
      proxyProtocol: this.settings.proxyProtocol,
      quotas: [...quotasOf(catalog)],
      defaultQuota: DEFAULT_QUOTA,
      logLevel: this.config.logLevel,
    };
    await Promise.all(
      this.workers.map((worker, self) =>
        worker.start({ ...common, ...(this.#listen[self] as { port: number }), self }),
      ),
    );
  }

  /** PEM of the authority that credentials name. */
  caCertificate(embedded: EmbeddedCluster): string | undefined {
    const { certificate, caCertificate } = this.settings;
    return certificate === undefined ? (caCertificate ?? embedded.caCertificate) : caCertificate;
  }

  /** What each portal tells of itself, for metrics. */
  tell(): Promise<ToldPortal[]> {
    return Promise.all(
      this.workers.map(async (worker) => ({ name: worker.name, snapshot: await worker.tell() })),
    );
  }

  /** @param drainMs how long calls may still run */
  async stop(drainMs: number): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.stop(drainMs)));
  }

  #certificate(ownFile: string): PortalJob['certificate'] {
    const { certificate } = this.settings;
    if (certificate === undefined) {
      return { kind: 'files', certFile: ownFile, keyFile: ownFile };
    }
    return certificate.kind === 'files' ? certificate : { ...certificate, key: certificate.key.reveal() };
  }
}

function portOf(endpoint: string): string {
  return new URL(endpoint).port || '443';
}
