import { Secret } from '../credentials/secret.js';
import { type BoundCluster, findEtcdService, readBoundService } from './bound-service.js';
import type { BoundService } from './cloud-foundry.js';
import { isLoopback, isPlaintext, parseEndpoints } from './endpoints.js';
import { ConfigError } from './error.js';
import { readCertificates, readPrivateKey } from './pem.js';
import { flag, requireBoth, secret, text, wholeNumber } from './settings.js';

/** An etcd cluster that the broker starts itself. */
export interface EmbeddedCluster {
  kind: 'embedded';
  members: number;
  etcdBinary?: string;
}

/** An etcd cluster that the operator runs. */
export interface ExternalCluster {
  kind: 'external';
  /** At least one, each `scheme://host:port`, all with the same scheme. */
  endpoints: string[];
  username?: string;
  password?: Secret;
  /** PEM of the authorities that vouch for the cluster; without it those of the system do. */
  caCertificate?: string;
  /** PEM of the broker's own certificate, its own first; comes with `clientKey`. */
  clientCertificate?: string;
  /** PEM of the key of `clientCertificate`. */
  clientKey?: Secret;
  /** Whether the broker may switch on the cluster's authentication if it is off. */
  enableAuth: boolean;
  /** Where the endpoints were read. */
  source: 'environment' | { service: string };
}

/** Settings that make sense only together with a cluster. */
const NEEDS_CLUSTER = [
  'ETCD_USERNAME',
  'ETCD_PASSWORD',
  'ETCD_CA_CERT',
  'ETCD_CLIENT_CERT',
  'ETCD_CLIENT_KEY',
];

/**
 * Which cluster the broker uses: the one that `ETCD_ENDPOINTS` names, else that of a bound service, else its own.
 * Beside a bound service, `ETCD_USERNAME` with `ETCD_PASSWORD`, `ETCD_CA_CERT`, and `ETCD_CLIENT_CERT` with
 * `ETCD_CLIENT_KEY` replace what the service says.
 * @throws ConfigError
 */
export function readCluster(
  env: NodeJS.ProcessEnv,
  services: readonly BoundService[],
): EmbeddedCluster | ExternalCluster {
  const endpoints = text(env, 'ETCD_ENDPOINTS');
  if (endpoints !== undefined) {
    const cluster = { endpoints: parseEndpoints(endpoints, 'ETCD_ENDPOINTS') };
    return external(env, cluster, 'environment', 'ETCD_ENDPOINTS');
  }
  const service = findEtcdService(services);
  if (service !== undefined) {
    const where = `The bound service ${JSON.stringify(service.name.slice(0, 60))} (VCAP_SERVICES)`;
    return external(env, readBoundService(service), { service: service.name }, where);
  }
  const lonely = NEEDS_CLUSTER.find((name) => text(env, name) !== undefined);
  if (lonely !== undefined) {
    throw new ConfigError(
      `${lonely} is set but ETCD_ENDPOINTS is not; set both, or neither to start an embedded etcd.`,
    );
  }
  return embedded(env);
}

function embedded(env: NodeJS.ProcessEnv): EmbeddedCluster {
  const members = wholeNumber(env, 'EMBEDDED_MEMBERS', { lowest: 1, highest: 5, byDefault: 1 });
  if (members % 2 === 0) {
    throw new ConfigError(
      `EMBEDDED_MEMBERS is ${members}; set it to 1, 3 or 5: an even number survives no more.`,
    );
  }
  const etcdBinary = text(env, 'ETCD_BINARY');
  return { kind: 'embedded', members, ...(etcdBinary === undefined ? {} : { etcdBinary }) };
}

/** `where` names the endpoints' setting in errors. */
function external(
  env: NodeJS.ProcessEnv,
  bound: BoundCluster,
  source: ExternalCluster['source'],
  where: string,
): ExternalCluster {
  const { password, clientKey, ...open } = bound;
  const ca = text(env, 'ETCD_CA_CERT');
  const cluster: ExternalCluster = {
    kind: 'external',
    ...open,
    ...(password === undefined ? {} : { password: new Secret(password) }),
    ...(clientKey === undefined ? {} : { clientKey: new Secret(clientKey) }),
    ...login(env),
    ...(ca === undefined ? {} : { caCertificate: readCertificates(ca, 'ETCD_CA_CERT') }),
    ...clientIdentity(env),
    enableAuth: flag(env, 'ETCD_ENABLE_AUTH'),
    source,
  };
  checkPlaintext(env, cluster, where);
  return cluster;
}

function login(env: NodeJS.ProcessEnv): Pick<ExternalCluster, 'username' | 'password'> {
  const username = text(env, 'ETCD_USERNAME');
  const password = secret(env, 'ETCD_PASSWORD');
  requireBoth('ETCD_USERNAME', username, 'ETCD_PASSWORD', password);
  return username === undefined || password === undefined ? {} : { username, password };
}

function clientIdentity(env: NodeJS.ProcessEnv): Pick<ExternalCluster, 'clientCertificate' | 'clientKey'> {
  const certificate = text(env, 'ETCD_CLIENT_CERT');
  const key = text(env, 'ETCD_CLIENT_KEY');
  requireBoth('ETCD_CLIENT_CERT', certificate, 'ETCD_CLIENT_KEY', key);
  if (certificate === undefined || key === undefined) {
    return {};
  }
  const clientCertificate = readCertificates(certificate, 'ETCD_CLIENT_CERT');
  const clientKey = new Secret(readPrivateKey(key, 'ETCD_CLIENT_KEY', clientCertificate));
  return { clientCertificate, clientKey };
}

/** Tenants are promised TLS with verified certificates, and a password that crosses a network in clear breaks it. */
function checkPlaintext(env: NodeJS.ProcessEnv, cluster: ExternalCluster, where: string): void {
  if (!cluster.endpoints.some(isPlaintext)) {
    return;
  }
  const certificate = cluster.caCertificate ?? cluster.clientCertificate;
  if (certificate !== undefined) {
    throw new ConfigError(
      `${where} has http:// endpoints, where certificates have no effect; use https:// ones.`,
    );
  }
  if (!cluster.endpoints.every(isLoopback) && !flag(env, 'ETCD_ALLOW_PLAINTEXT')) {
    throw new ConfigError(
      `${where} has http:// endpoints beyond this machine, and the broker promises verified TLS; use https:// ones, or accept the risk with ETCD_ALLOW_PLAINTEXT=true.`,
    );
  }
}
