import path from 'node:path';
import { type EncryptionKey, encryptionKey } from '../credentials/seal.js';
import { Secret } from '../credentials/secret.js';
import { type BackupSettings, readBackups } from './backups.js';
import { readCloudFoundry } from './cloud-foundry.js';
import { type EmbeddedCluster, type ExternalCluster, readCluster } from './cluster.js';
import { type DashboardSettings, readDashboard } from './dashboard.js';
import { parseEndpoints } from './endpoints.js';
import { ConfigError, Problems } from './error.js';
import { type PortalSettings, readPortal } from './portal.js';
import type { Purpose } from './purpose.js';
import { duration, type LogLevel, proxies, publicUrl, readSettings, type Settings } from './settings.js';

export type { EmbeddedCluster, ExternalCluster, LogLevel, PortalSettings };
export { ConfigError };

/** What a platform signs in with. */
export interface BrokerCredentials {
  username: string;
  password: Secret;
}

/** All settings, checked. */
export interface Config {
  /** Where the broker listens for HTTP; 0 takes a free port. */
  port: number;
  /** The address that the broker listens on; absent means all interfaces. */
  host?: string;
  /** Where browsers reach the broker, without a trailing slash; absent when it depends on the port that is taken. */
  publicUrl?: string;
  /** Part of the deployments' names: `bmix-<region>-yp-<instance>`. */
  region: string;
  /**
   * Which proxies may say who the client is: how many of them stand before the broker, or their addresses and
   * networks (`loopback`, `linklocal` and `uniquelocal` are names of networks).
   */
  trustProxy: number | string[];
  logLevel: LogLevel;
  /** Absolute path of the catalog file. */
  catalogPath: string;
  /** Absolute path of the folder for the embedded cluster's data, certificates and secrets. */
  dataDir: string;
  /** What the platform may sign in with, the current pair first. Empty only with an embedded cluster. */
  brokerCredentials: BrokerCredentials[];
  /** What seals records, the newest first. Empty only with an embedded cluster. */
  encryptionKeys: EncryptionKey[];
  cluster: EmbeddedCluster | ExternalCluster;
  /** The endpoints that credentials name, where they differ from the cluster's own. */
  advertisedEndpoints?: string[];
  /** Absent where no backups are made. */
  backups?: BackupSettings;
  /** How much of its history the cluster keeps, in milliseconds; undefined when the broker is not to compact it. */
  compactionMs: number | undefined;
  /** The portals that credentials name; absent in direct mode, where they name etcd itself. */
  portal?: PortalSettings;
  /** Absent where links alone sign in to the dashboard. */
  dashboard?: DashboardSettings;
}

/** The package's own folder, seen from where this module is compiled to, `dist/src/config`. */
const PACKAGE_ROOT = path.resolve(import.meta.dirname, '..', '..', '..');
const KEY_BYTES = 32;
const EMBEDDED_COMPACTION = '1h';

/**
 * Reads and checks every setting. Besides `env` it reads only PEM files that a variable names. A variable that is
 * blank counts as not set; unknown ones are ignored. Relative paths start at the working folder.
 *
 * @throws ConfigError with a line for each mistake
 */
export function readConfig(env: NodeJS.ProcessEnv, purpose: Purpose = 'broker'): Config {
  const problems = new Problems();
  const settings = readSettings(env, problems);
  const cloudFoundry = problems.attempt(() => readCloudFoundry(env));
  const cluster = readCluster(settings, cloudFoundry?.services ?? [], problems);
  const encryptionKeys = readEncryptionKeys(settings, problems);
  if (cluster?.kind === 'external') {
    requireBrokerSecrets(env, purpose, problems);
  } else if (cluster && purpose === 'portal') {
    problems.add(
      'ETCD_ENDPOINTS is not set; a portal of its own needs your cluster. With an embedded etcd the broker runs the portals.',
    );
  } else if (cluster && cloudFoundry?.isApplication) {
    // A container's disk vanishes with it, and each instance of the application would start an etcd for itself.
    problems.add(
      'ETCD_ENDPOINTS is not set and no bound service says etcd; on Cloud Foundry the broker starts no etcd of its own, whose data would vanish with the container: set ETCD_ENDPOINTS, or bind a service that names your cluster.',
    );
  }
  const { ETCD_ADVERTISED_ENDPOINTS: advertised } = settings;
  const advertisedEndpoints =
    advertised && problems.attempt(() => parseEndpoints(advertised, 'ETCD_ADVERTISED_ENDPOINTS'));
  const portal = cluster && readPortal(settings, cluster.kind, purpose, problems);
  const backups =
    cluster && readBackups(settings, cluster.kind === 'embedded', cloudFoundry?.services ?? [], problems);
  const { PORT: port, PUBLIC_URL } = settings;
  const url =
    (PUBLIC_URL && publicUrl(PUBLIC_URL)) ||
    cloudFoundry?.url ||
    (port === 0 ? undefined : `http://localhost:${port}`);
  const dashboard =
    purpose === 'broker'
      ? readDashboard(settings, cloudFoundry?.api, url !== undefined, problems)
      : undefined;
  problems.throwIfAny();
  if (cluster === undefined) {
    throw new Error('A cluster that could not be read was not reported');
  }
  const isEmbedded = cluster.kind === 'embedded';
  const host = settings.HOST ?? (isEmbedded ? '127.0.0.1' : undefined);
  // One proxy on Cloud Foundry: its router.
  const trustProxy = proxies(settings.TRUST_PROXY ?? (cloudFoundry?.isApplication ? '1' : '0')) ?? 0;
  return {
    port,
    ...(host === undefined ? {} : { host }),
    ...(url === undefined ? {} : { publicUrl: url }),
    region: settings.REGION,
    trustProxy,
    logLevel: settings.LOG_LEVEL,
    catalogPath: path.resolve(settings.CATALOG ?? path.join(PACKAGE_ROOT, 'catalog.json')),
    dataDir: path.resolve(settings.DATA_DIR),
    brokerCredentials: brokerCredentials(settings),
    encryptionKeys,
    cluster,
    ...(advertisedEndpoints ? { advertisedEndpoints } : {}),
    ...(backups ? { backups } : {}),
    compactionMs: duration(settings.ETCD_COMPACTION ?? (isEmbedded ? EMBEDDED_COMPACTION : 'off')),
    ...(portal ? { portal } : {}),
    ...(dashboard ? { dashboard } : {}),
  };
}

/** The current pair first, then the previous one, which stays valid while the operator rotates. */
function brokerCredentials(settings: Settings): BrokerCredentials[] {
  const pairs = [
    [settings.BROKER_USERNAME, settings.BROKER_PASSWORD],
    [settings.BROKER_PREVIOUS_USERNAME, settings.BROKER_PREVIOUS_PASSWORD],
  ] as const;
  return pairs.flatMap(([username, password]) =>
    username && password ? [{ username, password: new Secret(password) }] : [],
  );
}

/** The keys that seal records: new ones with the first; what the others sealed can still be opened. */
function readEncryptionKeys({ BROKER_ENCRYPTION_KEY: list }: Settings, problems: Problems): EncryptionKey[] {
  const keys: EncryptionKey[] = [];
  for (const [index, entry] of (list?.split(',') ?? []).entries()) {
    const where = `BROKER_ENCRYPTION_KEY (key ${index + 1})`;
    // Buffer skips what isn't base64, so the form is checked first; 43 digits are 32 bytes.
    const bytes = Buffer.from(/^[A-Za-z0-9+/]{43}=?$/.test(entry.trim()) ? entry : '', 'base64');
    const key = encryptionKey(new Secret(bytes.toString('base64')));
    if (bytes.length !== KEY_BYTES) {
      problems.add(`${where} must be 32 bytes in base64; make one with "openssl rand -base64 32".`);
    } else if (keys.some(({ id }) => id === key.id)) {
      problems.add(`${where} is there twice; remove the repetition.`);
    } else {
      keys.push(key);
    }
  }
  return keys;
}

/** Replicas and later starts must agree on these, and only an embedded cluster's data folder can keep them. */
function requireBrokerSecrets(env: NodeJS.ProcessEnv, purpose: Purpose, problems: Problems): void {
  if (purpose !== 'portal' && !env.BROKER_USERNAME?.trim() && !env.BROKER_PASSWORD) {
    problems.add(
      'BROKER_USERNAME and BROKER_PASSWORD are not set; with a cluster of your own, set what the platform signs in with.',
    );
  }
  if (!env.BROKER_ENCRYPTION_KEY) {
    problems.add(
      'BROKER_ENCRYPTION_KEY is not set; with a cluster of your own, set it to the output of "openssl rand -base64 32", and keep it.',
    );
  }
}
