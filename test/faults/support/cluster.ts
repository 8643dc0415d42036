import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Secret } from '../../../src/credentials/secret.js';
import { type EmbeddedCluster, startEmbeddedCluster } from '../../../src/embedded/embedded-cluster.js';
import { findEtcd } from '../../../src/embedded/etcd-binary.js';
import { EtcdClient } from '../../../src/etcd/client.js';
import { newEncryptionKey } from './broker-process.js';

const CACHE = path.resolve(import.meta.dirname, '../../../../.cache/etcd');

export interface Login {
  username: string;
  password: string;
}

/** An etcd cluster as an operator would run one: it outlives the brokers. */
export class TestCluster {
  /** Signed in as root, straight to etcd. */
  readonly root: EtcdClient;
  /** What brokers seal under, unless a test gives them other keys. */
  encryptionKey = newEncryptionKey();

  private constructor(
    readonly dataDir: string,
    readonly embedded: EmbeddedCluster,
    readonly logged: string[],
  ) {
    this.root = this.connect({ username: 'root', password: embedded.password.reveal() });
  }

  static async start(options: { members?: number; quotaBytes?: number } = {}): Promise<TestCluster> {
    const dataDir = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-faults-'));
    const logged: string[] = [];
    try {
      const binary = await findEtcd({ env: process.env, cacheDir: CACHE, onProgress: () => undefined });
      const members = options.members ?? 1;
      const embedded = await startEmbeddedCluster({
        dataDir,
        binary,
        members,
        quotaBytes: options.quotaBytes,
        clientPorts: Array.from({ length: members }, () => 0),
        log: (level, message) => {
          logged.push(`${level} ${message}`);
          logged.splice(0, logged.length - 500);
        },
      });
      return new TestCluster(dataDir, embedded, logged);
    } catch (error) {
      await rm(dataDir, { recursive: true, force: true });
      throw error;
    }
  }

  /** What a broker needs to use this cluster, by itself or through proxies. */
  env(endpoints?: readonly string[]): Record<string, string> {
    const isProxied = endpoints?.every((endpoint) => endpoint.startsWith('http://')) ?? false;
    return {
      ETCD_ENDPOINTS: (endpoints ?? this.embedded.endpoints).join(','),
      ETCD_USERNAME: 'root',
      ETCD_PASSWORD: this.embedded.password.reveal(),
      ...(isProxied ? {} : { ETCD_CA_CERT: this.embedded.caCertificate }),
      BROKER_ENCRYPTION_KEY: this.encryptionKey,
      PORTAL: 'off',
    };
  }

  /** A connection of its own, straight to etcd. To be closed. */
  connect({ username, password }: Login): EtcdClient {
    const { endpoints, caCertificate } = this.embedded;
    return new EtcdClient({
      endpoints,
      caCertificate,
      username,
      password: new Secret(password),
    });
  }

  async stop(): Promise<void> {
    this.root.close();
    try {
      await this.embedded.stop();
    } finally {
      await rm(this.dataDir, { recursive: true, force: true });
    }
  }
}
