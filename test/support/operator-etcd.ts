import { generateKeyPairSync, randomBytes, randomInt } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Secret } from '../../src/credentials/secret.js';
import { openCertificates } from '../../src/embedded/certificates.js';
import type { EtcdBinary } from '../../src/embedded/etcd-binary.js';
import { type GuardedProcess, startGuarded } from '../../src/embedded/guardian.js';
import { makeCertificate, makeKey } from '../../src/embedded/x509.js';
import { EtcdClient } from '../../src/etcd/client.js';
import { availableEtcds } from './etcd-versions.js';
import { freezeProcess } from './freeze.js';

const START_TIMEOUT_MS = 15_000;

export interface OperatorEtcdOptions {
  /** The oldest etcd that can be had, where not given. */
  binary?: EtcdBinary;
  /** `none` is http on loopback; `mutual` demands a client certificate. `server` where not given. */
  tls?: 'none' | 'server' | 'mutual';
  /** Whether `root` is made and authentication turned on; true where not given. */
  authentication?: boolean;
  tokens?: 'simple' | 'jwt';
}

/** An etcd that an operator runs, not the broker: on a free port, in a folder of its own, gone with the tests. */
export class OperatorEtcd {
  readonly rootPassword = randomBytes(12).toString('hex');
  endpoint = '';
  caCertificate: string | undefined;
  /** With CN `root`. */
  clientCertificate: string | undefined;
  clientKey: string | undefined;
  #folder = '';
  #process!: GuardedProcess;
  readonly #connections: EtcdClient[] = [];

  static async start(options: OperatorEtcdOptions = {}): Promise<OperatorEtcd> {
    const etcd = new OperatorEtcd();
    try {
      await etcd.#start(options);
      return etcd;
    } catch (error) {
      await etcd.stop();
      throw error;
    }
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** The settings with which a broker uses this cluster as `root`. */
  get settings(): Record<string, string> {
    return {
      ETCD_ENDPOINTS: this.endpoint,
      ETCD_USERNAME: 'root',
      ETCD_PASSWORD: this.rootPassword,
      BROKER_ENCRYPTION_KEY: ENCRYPTION_KEY,
      PORTAL: 'off',
      ...(this.caCertificate === undefined ? {} : { ETCD_CA_CERT: this.caCertificate }),
    };
  }

  /** A connection as `root`, or as who is given. Closed with the cluster. */
  connect(login = { username: 'root', password: this.rootPassword }): EtcdClient {
    const connection = new EtcdClient({
      endpoints: [this.endpoint],
      caCertificate: this.caCertificate,
      clientCertificate: this.clientCertificate,
      clientKey: this.clientKey === undefined ? undefined : new Secret(this.clientKey),
      username: login.username,
      password: new Secret(login.password),
    });
    this.#connections.push(connection);
    return connection;
  }

  async isAuthenticationOn(): Promise<boolean> {
    const credentials = { name: '-', password: '-' };
    return this.connect()
      .unauthenticated('Auth', 'authenticate', credentials, START_TIMEOUT_MS)
      .then(
        () => true,
        (error: Error) => {
          if (/authentication is not enabled/.test(error.message)) {
            return false;
          }
          if (/invalid user ID or password/.test(error.message)) {
            return true;
          }
          throw error;
        },
      );
  }

  /** Stops the process in its tracks, as a machine that hangs does, until {@link thaw}. */
  freeze(): void {
    freezeProcess(this.pid);
  }

  thaw(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  async stop(): Promise<void> {
    for (const connection of this.#connections) {
      connection.close();
    }
    if (this.#process?.running) {
      this.#process.kill('SIGKILL'); // takes effect on a frozen process too
      await this.#process.exited;
    }
    if (this.#folder !== '') {
      await rm(this.#folder, { recursive: true, force: true });
    }
  }

  async #start({ binary, tls = 'server', authentication = true, tokens = 'simple' }: OperatorEtcdOptions) {
    const program = binary ?? (await availableEtcds())[0];
    if (program === undefined) {
      throw new Error('No etcd can be had');
    }
    this.#folder = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-operator-'));
    const args = [
      `--data-dir=${path.join(this.#folder, 'data')}`,
      '--bcrypt-cost=4',
      '--heartbeat-interval=20',
      '--election-timeout=100',
      '--logger=zap',
      '--log-level=error',
      '--log-outputs=stderr',
      ...(tls === 'none' ? [] : await this.#certificates(tls)),
      `--auth-token=${tokens === 'jwt' ? await this.#jwt() : 'simple'}`,
    ];
    const scheme = tls === 'none' ? 'http' : 'https';
    const [port, peerPort] = await freePorts(2);
    this.endpoint = `${scheme}://localhost:${port}`;
    const lines: string[] = [];
    this.#process = await startGuarded(
      program.path,
      [
        ...args,
        `--listen-client-urls=${scheme}://127.0.0.1:${port}`,
        `--advertise-client-urls=${this.endpoint}`,
        `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
        `--initial-advertise-peer-urls=http://127.0.0.1:${peerPort}`,
        `--initial-cluster=default=http://127.0.0.1:${peerPort}`,
      ],
      (line) => lines.push(line),
    );
    const died = this.#process.exited.then((how) => {
      throw new Error(`The operator's etcd ${how}: ${lines.slice(-3).join(' | ')}`);
    });
    died.catch(() => undefined); // it ends some day; only during the start that is a failure
    await Promise.race([this.isAuthenticationOn(), died]);
    if (authentication) {
      const { auth } = this.connect();
      await auth.userAdd({ name: 'root', password: this.rootPassword });
      await auth.roleAdd({ name: 'root' });
      await auth.userGrantRole({ user: 'root', role: 'root' });
      await auth.authEnable();
    }
  }

  async #certificates(tls: 'server' | 'mutual'): Promise<string[]> {
    const folder = path.join(this.#folder, 'certificates');
    const hosts = ['localhost', '127.0.0.1'];
    const { caCertificate, caFile, file } = await openCertificates(folder, [
      { name: 'server', subject: 'CN=etcd', use: 'server', hosts },
    ]);
    this.caCertificate = caCertificate;
    const args = [`--cert-file=${file('server')}`, `--key-file=${file('server')}`];
    if (tls === 'server') {
      return args;
    }
    this.clientKey = await makeKey();
    this.clientCertificate = await makeCertificate({
      subject: 'CN=root',
      keyPem: this.clientKey,
      use: 'client',
      notBefore: Date.now() - 60_000,
      notAfter: Date.now() + 24 * 60 * 60 * 1000,
      issuer: {
        certificatePem: caCertificate,
        keyPem: await readFile(path.join(folder, 'ca-key.pem'), 'utf8'),
      },
    });
    return [...args, '--client-cert-auth=true', `--trusted-ca-file=${caFile}`];
  }

  async #jwt(): Promise<string> {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    });
    const [privateFile, publicFile] = ['jwt.key', 'jwt.pub'].map((name) => path.join(this.#folder, name));
    await writeFile(privateFile as string, privateKey, { mode: 0o600 });
    await writeFile(publicFile as string, publicKey);
    return `jwt,pub-key=${publicFile},priv-key=${privateFile},sign-method=RS256,ttl=10m`;
  }
}

/** What a broker's records are sealed with in these tests. */
export const ENCRYPTION_KEY = randomBytes(32).toString('base64');

/**
 * Ports that are free, below those that outgoing connections are given: a server that is started again must find its
 * port free, and a client that looks for it meanwhile must not be given that very port.
 */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  while (servers.length < count) {
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)); // taken: another one is tried
      server.listen(randomInt(20_000, 32_000), '127.0.0.1', () => resolve(true));
    });
    if (isFree) {
      servers.push(server);
    }
  }
  return Promise.all(
    servers.map(async (server) => {
      const { port } = server.address() as AddressInfo;
      await new Promise((resolve) => server.close(resolve));
      return port;
    }),
  );
}
