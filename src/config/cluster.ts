import { Secret } from '../credentials/secret.js';
import { type BoundCluster, findEtcdService, readBoundService, serviceName } from './bound-service.js';
import type { BoundService } from './cloud-foundry.js';
import { isLoopback, isPlaintext, parseEndpoints } from './endpoints.js';
import type { Problems } from './error.js';
import { readCertificates, readPrivateKey } from './pem.js';
import type { Settings } from './settings.js';

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
  /** Whether the broker may turn on the cluster's authentication if it is off. */
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
] as const;

/**
 * Which cluster the broker uses: the one that `ETCD_ENDPOINTS` names, else that of a bound service, else its own.
 * Beside a bound service, `ETCD_USERNAME` with `ETCD_PASSWORD`, `ETCD_CA_CERT`, and `ETCD_CLIENT_CERT` with
 * `ETCD_CLIENT_KEY` replace what the service says.
 *
 * @returns undefined when there are problems with what names it
 */
export function readCluster(
  settings: Settings,
  services: readonly BoundService[],
  problems: Problems,
): EmbeddedCluster | ExternalCluster | undefined {
  const { ETCD_ENDPOINTS, ETCD_BINARY } = settings;
  if (ETCD_ENDPOINTS !== undefined) {
    const endpoints = problems.attempt(() => parseEndpoints(ETCD_ENDPOINTS, 'ETCD_ENDPOINTS'));
    return external(settings, { endpoints: endpoints ?? [] }, 'environment', 'ETCD_ENDPOINTS', problems);
  }
  return problems.attempt(() => {
    const service = findEtcdService(services);
    if (service !== undefined) {
      const source = { service: service.name };
      return external(settings, readBoundService(service), source, serviceName(service), problems);
    }
    for (const name of NEEDS_CLUSTER.filter((each) => settings[each] !== undefined)) {
      problems.add(
        `${name} is set but ETCD_ENDPOINTS is not; set both, or neither to start an embedded etcd.`,
      );
    }
    return {
      kind: 'embedded',
      members: settings.EMBEDDED_MEMBERS,
      ...(ETCD_BINARY === undefined ? {} : { etcdBinary: ETCD_BINARY }),
    };
  });
}

/** `where` names the endpoints' setting in messages. */
function external(
  settings: Settings,
  bound: Partial<BoundCluster> & { endpoints: string[] },
  source: ExternalCluster['source'],
  where: string,
  problems: Problems,
): ExternalCluster {
  const { ETCD_USERNAME, ETCD_PASSWORD, ETCD_CLIENT_CERT, ETCD_CLIENT_KEY } = settings;
  const field = (name: (typeof NEEDS_CLUSTER)[number]) => {
    const value = settings[name];
    return value === undefined ? undefined : { value, where: name };
  };
  const login =
    ETCD_USERNAME !== undefined && ETCD_PASSWORD !== undefined
      ? { username: ETCD_USERNAME, password: ETCD_PASSWORD }
      : bound.login;
  const ca = field('ETCD_CA_CERT') ?? bound.ca;
  const [certificate, key] =
    ETCD_CLIENT_CERT !== undefined && ETCD_CLIENT_KEY !== undefined
      ? [field('ETCD_CLIENT_CERT'), field('ETCD_CLIENT_KEY')]
      : [bound.certificate, bound.key];
  const caCertificate = ca && problems.attempt(() => readCertificates(ca.value, ca.where));
  const clientCertificate =
    certificate && problems.attempt(() => readCertificates(certificate.value, certificate.where));
  const clientKey =
    clientCertificate &&
    key &&
    problems.attempt(() => readPrivateKey(key.value, key.where, clientCertificate));
  checkPlaintext(settings, bound.endpoints, (ca ?? certificate) !== undefined, where, problems);
  return {
    kind: 'external',
    endpoints: bound.endpoints,
    ...(login && { username: login.username, password: new Secret(login.password) }),
    ...(caCertificate && { caCertificate }),
    ...(clientCertificate && clientKey && { clientCertificate, clientKey: new Secret(clientKey) }),
    enableAuth: settings.ETCD_ENABLE_AUTH,
    source,
  };
}

/** Tenants are promised TLS with verified certificates, and a password that crosses a network in clear breaks it. */
function checkPlaintext(
  settings: Settings,
  endpoints: readonly string[],
  hasCertificates: boolean,
  where: string,
  problems: Problems,
): void {
  if (!endpoints.some(isPlaintext)) {
    return;
  }
  if (hasCertificates) {
    problems.add(`${where} has http:// endpoints, where certificates have no effect; use https:// ones.`);
  } else if (!endpoints.every(isLoopback) && !settings.ETCD_ALLOW_PLAINTEXT) {
    problems.add(
      `${where} has http:// endpoints beyond this machine, and the broker promises verified TLS; use https:// ones, or accept the risk with ETCD_ALLOW_PLAINTEXT=true.`,
    );
  }
}
