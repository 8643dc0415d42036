import { isIP } from 'node:net';
import path from 'node:path';
import type { EncryptionKey } from '../credentials/seal.js';
import { type BrokerCredentials, readBrokerCredentials, readEncryptionKeys } from './broker-access.js';
import { readCloudFoundry } from './cloud-foundry.js';
import { type EmbeddedCluster, type ExternalCluster, readCluster } from './cluster.js';
import { parseEndpoints } from './endpoints.js';
import { ConfigError } from './error.js';
import { oneOf, quote, text, wholeNumber } from './settings.js';

export type { BrokerCredentials, EmbeddedCluster, ExternalCluster };
export { ConfigError };

/** The levels of the log, from the most to the least talkative. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** All settings, checked. */
export interface Config {
  /** Where the broker listens for HTTP; 0 takes a free port. */
  port: number;
  /** Where browsers reach the broker, without a trailing slash; absent when it depends on the port that is taken. */
  publicUrl?: string;
  /** Part of the deployments' names: `bmix-<region>-yp-<instance>`. */
  region: string;
  /**
   * Who may say in `X-Forwarded-For` who the client is: so many proxies in a row, whoever they are, or those with
   * these addresses or in these networks.
   */
  trustProxy: number | string[];
  logLevel: LogLevel;
  /** Absolute path of the catalog file. */
  catalogPath: string;
  /** Absolute path of the folder for the embedded cluster's data, certificates and backups. */
  dataDir: string;
  /** What the platform may sign in with, the current pair first. Empty only with an embedded cluster. */
  brokerCredentials: BrokerCredentials[];
  /** What seals records, the newest first. Empty only with an embedded cluster. */
  encryptionKeys: EncryptionKey[];
  cluster: EmbeddedCluster | ExternalCluster;
  /** How often the broker compacts etcd's history, in milliseconds; undefined when it does not. */
  compactionMs: number | undefined;
  /** The endpoints that credentials name, where they differ from the cluster's own. */
  advertisedEndpoints?: string[];
}

/** The package's own folder, seen from where this module is compiled to, `dist/src/config`. */
const PACKAGE_ROOT = path.resolve(import.meta.dirname, '..', '..', '..');

/**
 * Reads and checks every setting. Besides `env` it reads only PEM files that a variable names. A variable that is
 * set to the empty string counts as not set; unknown ones are ignored. Relative paths start at the working folder.
 *
 * @throws ConfigError for the first mistake found
 */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const port = wholeNumber(env, 'PORT', { lowest: 0, highest: 65535, byDefault: 8080 });
  const cloudFoundry = readCloudFoundry(env, port);
  const cluster = readCluster(env, cloudFoundry.services);
  const brokerCredentials = readBrokerCredentials(env);
  const encryptionKeys = readEncryptionKeys(env);
  if (cluster.kind === 'external') {
    requireBrokerSecrets(brokerCredentials, encryptionKeys);
  } else if (cloudFoundry.isApplication) {
    // A container's disk vanishes with it, and each instance of the application would start an etcd for itself.
    throw new ConfigError(
      'ETCD_ENDPOINTS is not set and no bound service says etcd; on Cloud Foundry the broker starts no etcd of its own, whose data would vanish with the container: set ETCD_ENDPOINTS, or bind a service that names your cluster.',
    );
  }
  const publicUrl =
    readPublicUrl(env) ?? cloudFoundry.url ?? (port === 0 ? undefined : `http://localhost:${port}`);
  const advertised = text(env, 'ETCD_ADVERTISED_ENDPOINTS');
  return {
    port,
    ...(publicUrl === undefined ? {} : { publicUrl }),
    region: readRegion(env),
    // On Cloud Foundry it is the platform's router.
    trustProxy: readTrustProxy(env, cloudFoundry.isApplication ? 1 : 0),
    logLevel: oneOf(env, 'LOG_LEVEL', LOG_LEVELS, 'info'),
    catalogPath: path.resolve(text(env, 'CATALOG') ?? path.join(PACKAGE_ROOT, 'catalog.json')),
    dataDir: path.resolve(text(env, 'DATA_DIR') ?? 'data'),
    brokerCredentials,
    encryptionKeys,
    cluster,
    compactionMs: readCompaction(env, cluster.kind),
    ...(advertised === undefined
      ? {}
      : { advertisedEndpoints: parseEndpoints(advertised, 'ETCD_ADVERTISED_ENDPOINTS') }),
  };
}

/** Replicas and later starts must agree on these, and only an embedded cluster's data folder can keep them. */
function requireBrokerSecrets(
  credentials: readonly BrokerCredentials[],
  keys: readonly EncryptionKey[],
): void {
  if (credentials.length === 0) {
    throw new ConfigError(
      'BROKER_USERNAME and BROKER_PASSWORD are not set; with a cluster of your own, set what the platform signs in with.',
    );
  }
  if (keys.length === 0) {
    throw new ConfigError(
      'BROKER_ENCRYPTION_KEY is not set; with a cluster of your own, set it to the output of "openssl rand -base64 32", and keep it.',
    );
  }
}

function readCompaction(env: NodeJS.ProcessEnv, kind: 'embedded' | 'external'): number | undefined {
  const value = text(env, 'ETCD_COMPACTION') ?? (kind === 'embedded' ? '1h' : 'off');
  if (value === 'off') {
    return undefined;
  }
  const [, number, unit = ''] = /^([1-9][0-9]{0,5})([smhd])$/.exec(value) ?? [];
  const milliseconds = Number(number) * ({ s: 1, m: 60, h: 3_600, d: 86_400 }[unit] ?? Number.NaN) * 1_000;
  if (!(milliseconds >= 1_000 && milliseconds <= LONGEST_COMPACTION_MS)) {
    throw new ConfigError(
      `ETCD_COMPACTION is ${quote(value)}; set it to a duration such as "1h" (24 days at most), or to "off".`,
    );
  }
  return milliseconds;
}

/** The longest that a timer of Node.js waits, about 24.8 days. */
const LONGEST_COMPACTION_MS = 24 * 86_400_000;

function readRegion(env: NodeJS.ProcessEnv): string {
  const region = text(env, 'REGION') ?? 'local';
  if (!/^[a-z0-9-]{1,40}$/.test(region)) {
    throw new ConfigError(
      `REGION is ${quote(region)}; use lower-case letters, digits and "-" only, at most 40 characters.`,
    );
  }
  return region;
}

const NAMED_NETWORKS = new Set(['loopback', 'linklocal', 'uniquelocal']);

function readTrustProxy(env: NodeJS.ProcessEnv, byDefault: number): number | string[] {
  const value = text(env, 'TRUST_PROXY');
  if (value === undefined || /^[0-9]+$/.test(value)) {
    return wholeNumber(env, 'TRUST_PROXY', { lowest: 0, highest: 20, byDefault });
  }
  const networks = value.split(',').map((network) => network.trim());
  const bad = networks.find((network) => !NAMED_NETWORKS.has(network) && !isNetwork(network));
  if (bad !== undefined) {
    throw new ConfigError(
      `TRUST_PROXY holds ${quote(bad)}; set it to the addresses or networks of the proxies, such as "10.0.0.0/8,loopback", or to how many there are.`,
    );
  }
  return networks;
}

/** An address, or one with the length of a network's prefix. */
function isNetwork(network: string): boolean {
  const [address = '', length, ...rest] = network.split('/');
  const bits = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0;
  const isLength =
    length === undefined || (/^[0-9]{1,3}$/.test(length) && Number(length) > 0 && Number(length) <= bits);
  return bits > 0 && isLength && rest.length === 0;
}

function readPublicUrl(env: NodeJS.ProcessEnv): string | undefined {
  const value = text(env, 'PUBLIC_URL');
  if (value === undefined) {
    return undefined;
  }
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const bare = url !== undefined && [url.username, url.password, url.search, url.hash].join('') === '';
  if (!bare || !/^https?:$/.test(url.protocol)) {
    throw new ConfigError(
      'PUBLIC_URL must be an http:// or https:// URL such as https://broker.example.com, without a user name, "?" or "#".',
    );
  }
  return url.href.replace(/\/{1,100}$/, '');
}
