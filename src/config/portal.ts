import { Secret } from '../credentials/secret.js';
import { PORTAL_USER } from '../portal/user.js';
import { isPlaintext, parseEndpoints } from './endpoints.js';
import type { Problems } from './error.js';
import { pemFile, readCertificates, readPrivateKey } from './pem.js';
import type { Purpose } from './purpose.js';
import type { Settings } from './settings.js';

/** Where a portal listens. */
export interface ListenAddress {
  /** Absent means all interfaces. */
  host?: string;
  port: number;
}

/** The operator's own certificate of the portals. */
export type PortalCertificate =
  /** Absolute paths: the files are read again when they change. */
  | { kind: 'files'; certFile: string; keyFile: string }
  /** PEM */
  | { kind: 'fixed'; cert: string; key: Secret };

/** How portals run, and what credentials say of them. */
export interface PortalSettings {
  /** What credentials name, `https://host:port` each; empty where the broker decides (an embedded etcd). */
  endpoints: string[];
  /** Where the portals of this process listen; empty for the usual. */
  listen: ListenAddress[];
  /** Absent means one of the project's own authority. */
  certificate?: PortalCertificate;
  /** PEM of the authority that credentials name for `certificate`; absent means a public one. */
  caCertificate?: string;
  /** Whether a load balancer in front sends the PROXY protocol, version 2. */
  proxyProtocol: boolean;
  /** The portals' own etcd user; absent where the broker makes it. */
  login?: { username: string; password: Secret };
  /** Port of a portal process's `/health`. */
  healthPort?: number;
}

const LISTEN = /^(?:(\[[0-9a-f:.]+\]|[a-z0-9._-]{1,253})?:)?([0-9]{1,5})$/i;

/** @returns undefined in direct mode, or when there are problems */
export function readPortal(
  settings: Settings,
  cluster: 'embedded' | 'external',
  purpose: Purpose,
  problems: Problems,
): PortalSettings | undefined {
  const { PORTAL, PORTAL_ENDPOINTS, PORTAL_LISTEN } = settings;
  if (PORTAL === 'off') {
    refuseWithoutPortals(settings, purpose, problems);
    return undefined;
  }
  if (cluster === 'external' && PORTAL_ENDPOINTS === undefined) {
    if (purpose !== 'tools') {
      problems.add(
        purpose === 'portal' || PORTAL === 'on'
          ? 'PORTAL_ENDPOINTS is not set; set it to what credentials are to name, https://host:port of each portal.'
          : 'PORTAL_ENDPOINTS is not set; set it to https://host:port of each portal that you run ("compose-etcd-broker portal"), or set PORTAL=off to give applications the address of etcd itself, which keeps them apart less well.',
      );
    }
    return undefined;
  }
  if (purpose === 'broker' && settings.ETCD_ADVERTISED_ENDPOINTS !== undefined) {
    problems.add(
      'ETCD_ADVERTISED_ENDPOINTS is set, but credentials name portals; set PORTAL_ENDPOINTS in its place, or PORTAL=off.',
    );
  }
  const endpoints =
    PORTAL_ENDPOINTS === undefined ? [] : problems.attempt(() => readEndpoints(PORTAL_ENDPOINTS, problems));
  const listen = PORTAL_LISTEN === undefined ? [] : readListen(PORTAL_LISTEN, purpose, problems);
  if (
    cluster === 'embedded' &&
    listen.length > 0 &&
    endpoints?.length &&
    listen.length !== endpoints.length
  ) {
    problems.add(
      'PORTAL_LISTEN and PORTAL_ENDPOINTS do not have the same number of entries; give one of each for every portal.',
    );
  }
  const login = readLogin(settings, cluster, purpose, problems);
  const certificate = readCertificate(settings, problems);
  const { PORTAL_CA_CERT: ca, PORTAL_HEALTH_PORT: healthPort } = settings;
  const caCertificate = ca && problems.attempt(() => readCertificates(ca, 'PORTAL_CA_CERT'));
  return {
    endpoints: endpoints ?? [],
    listen,
    ...(certificate && { certificate }),
    ...(caCertificate && { caCertificate }),
    proxyProtocol: settings.PORTAL_PROXY_PROTOCOL,
    ...(login && { login }),
    ...(healthPort && { healthPort }),
  };
}

/** A setting that has no effect is a mistake: somebody believes that tenants are kept apart. */
function refuseWithoutPortals(settings: Settings, purpose: Purpose, problems: Problems): void {
  if (purpose === 'portal') {
    problems.add('PORTAL is off, but a portal is to be run; set PORTAL=on, or leave it out.');
  } else if (purpose === 'broker' && settings.PORTAL_ENDPOINTS !== undefined) {
    problems.add('PORTAL_ENDPOINTS is set but PORTAL is off; remove one of them.');
  }
}

function readEndpoints(list: string, problems: Problems): string[] {
  const endpoints = parseEndpoints(list, 'PORTAL_ENDPOINTS');
  if (endpoints.some(isPlaintext)) {
    problems.add('PORTAL_ENDPOINTS has http:// endpoints; portals speak TLS, so use https:// ones.');
  }
  return endpoints;
}

function readListen(list: string, purpose: Purpose, problems: Problems): ListenAddress[] {
  const addresses: ListenAddress[] = [];
  for (const entry of list.split(',').map((each) => each.trim())) {
    const [, host, port = ''] = LISTEN.exec(entry) ?? [];
    if (port === '' || Number(port) > 65_535) {
      problems.add(
        'PORTAL_LISTEN must be host:port such as 0.0.0.0:2379; with an embedded etcd, one for each portal.',
      );
      return [];
    }
    addresses.push({
      ...(host === undefined ? {} : { host: host.replace(/^\[|\]$/g, '') }),
      port: Number(port),
    });
  }
  if (purpose === 'portal' && addresses.length > 1) {
    problems.add(
      'PORTAL_LISTEN has several addresses, but this process is one portal; give each process its own.',
    );
  }
  return addresses;
}

function readLogin(
  { PORTAL_ETCD_USERNAME: username = PORTAL_USER, PORTAL_ETCD_PASSWORD: password }: Settings,
  cluster: 'embedded' | 'external',
  purpose: Purpose,
  problems: Problems,
): PortalSettings['login'] {
  if (password !== undefined) {
    return { username, password: new Secret(password) };
  }
  if (purpose === 'portal' && cluster === 'external') {
    problems.add(
      'PORTAL_ETCD_PASSWORD is not set; a portal signs in to etcd as a user of its own, which "compose-etcd-broker portal-access" makes.',
    );
  }
  return undefined;
}

function readCertificate(settings: Settings, problems: Problems): PortalCertificate | undefined {
  const { PORTAL_TLS_CERT: cert, PORTAL_TLS_KEY: key } = settings;
  if (cert === undefined || key === undefined) {
    return undefined;
  }
  const certificates = problems.attempt(() => readCertificates(cert, 'PORTAL_TLS_CERT'));
  const privateKey =
    certificates && problems.attempt(() => readPrivateKey(key, 'PORTAL_TLS_KEY', certificates));
  if (certificates === undefined || privateKey === undefined) {
    return undefined;
  }
  const [certFile, keyFile] = [pemFile(cert), pemFile(key)];
  return certFile !== undefined && keyFile !== undefined
    ? { kind: 'files', certFile, keyFile }
    : { kind: 'fixed', cert: certificates, key: new Secret(privateKey) };
}
