import type { BoundService } from './cloud-foundry.js';
import { parseEndpoint, parseEndpoints, uniform } from './endpoints.js';
import { ConfigError } from './error.js';
import { readCertificates, readPrivateKey } from './pem.js';

/** What a bound service says about a cluster, checked. Passwords and keys are still bare: wrap them at once. */
export interface BoundCluster {
  endpoints: string[];
  username?: string;
  password?: string;
  caCertificate?: string;
  clientCertificate?: string;
  clientKey?: string;
}

interface Login {
  username: string;
  password: string;
}

/**
 * The one bound service whose name, label or a tag says etcd, in any case.
 * @returns `undefined` when there is none
 * @throws ConfigError when there are several
 */
export function findEtcdService(services: readonly BoundService[]): BoundService | undefined {
  const found = services.filter(({ name, label, tags }) =>
    [name, label, ...tags].some((word) => /etcd/i.test(word)),
  );
  if (found.length > 1) {
    const names = found.map(({ name }) => JSON.stringify(name.slice(0, 60))).join(', ');
    throw new ConfigError(
      `VCAP_SERVICES has several services that say etcd: ${names}; set ETCD_ENDPOINTS, or unbind all but one.`,
    );
  }
  return found[0];
}

/**
 * Reads the credentials of a service that offers etcd: those that Compose for etcd gave (`uri`, `uri_direct_1`,
 * `uri_cli`, `ca_certificate_base64`), or plain ones (`endpoints`, `username`, `password`, `ca_cert`, `client_cert`,
 * `client_key`), as an operator writes them for `cf create-user-provided-service`. The endpoints of all are joined,
 * in the order `endpoints`, `uri`, `uri_direct_1` and on, `uri_cli`; the first login found in that order counts.
 *
 * @throws ConfigError which names the service and the field that can't be used
 */
export function readBoundService(service: BoundService): BoundCluster {
  const where = (field: string): string => serviceField(service, field);
  const field = (...names: string[]): [name: string, value: string] | undefined => {
    const name = names.find((candidate) => (service.credentials[candidate] ?? '') !== '');
    return name === undefined ? undefined : [name, textField(service, name)];
  };

  const endpoints = plainEndpoints(service);
  const logins: Login[] = [];
  const username = field('username', 'user');
  const password = field('password');
  if ((username === undefined) !== (password === undefined)) {
    throw new ConfigError(
      `${where(username ? 'password' : 'username')} is missing; give both of them or neither.`,
    );
  }
  if (username && password) {
    logins.push({ username: username[1], password: password[1] });
  }
  for (const name of uriFields(service.credentials)) {
    const uri = parseUri(textField(service, name), where(name));
    endpoints.push(uri.endpoint);
    logins.push(...uri.logins);
  }
  const commandLine = field('uri_cli');
  if (commandLine) {
    const parsed = parseCommandLine(commandLine[1], where(commandLine[0]));
    endpoints.push(...parsed.endpoints);
    logins.push(...parsed.logins);
  }
  if (endpoints.length === 0) {
    throw new ConfigError(
      `${where('uri')} is missing; give uri, uri_cli or endpoints, or set ETCD_ENDPOINTS.`,
    );
  }

  const authority = field('ca_cert', 'ca_certificate', 'ca_certificate_base64');
  const certificate = field('client_cert');
  const key = field('client_key');
  if ((certificate === undefined) !== (key === undefined)) {
    throw new ConfigError(
      `${where(certificate ? 'client_key' : 'client_cert')} is missing; give both or neither.`,
    );
  }
  const clientCertificate = certificate && readCertificates(certificate[1], where(certificate[0]));
  return {
    endpoints: uniform(endpoints, where('uri')),
    ...logins[0],
    ...(authority ? { caCertificate: readCertificates(authority[1], where(authority[0])) } : {}),
    ...(clientCertificate && key
      ? { clientCertificate, clientKey: readPrivateKey(key[1], where(key[0]), clientCertificate) }
      : {}),
  };
}

/** How messages name a field of a bound service. */
export function serviceField(service: BoundService, field: string): string {
  return `The bound service ${JSON.stringify(service.name.slice(0, 60))} (VCAP_SERVICES): its credential "${field}"`;
}

function textField(service: BoundService, name: string): string {
  const value = service.credentials[name];
  if (typeof value !== 'string') {
    throw new ConfigError(`${serviceField(service, name)} must be a string.`);
  }
  return value;
}

function plainEndpoints(service: BoundService): string[] {
  const value = service.credentials.endpoints ?? '';
  if (value === '') {
    return [];
  }
  if (
    typeof value !== 'string' &&
    !(Array.isArray(value) && value.every((entry) => typeof entry === 'string'))
  ) {
    throw new ConfigError(`${serviceField(service, 'endpoints')} must be a string or an array of strings.`);
  }
  return value.length === 0 ? [] : parseEndpoints(String(value), serviceField(service, 'endpoints'));
}

/** `uri`, then `uri_direct_1` and on in the order of their numbers. */
function uriFields(credentials: BoundService['credentials']): string[] {
  const direct = Object.keys(credentials)
    .filter((name) => /^uri_direct_[0-9]{1,3}$/.test(name))
    .sort((a, b) => Number(a.slice('uri_direct_'.length)) - Number(b.slice('uri_direct_'.length)));
  return ['uri', ...direct].filter((name) => (credentials[name] ?? '') !== '');
}

function parseUri(uri: string, where: string): { endpoint: string; logins: Login[] } {
  const [, scheme = '', login, rest = ''] = /^([a-z]+:\/\/)(?:([^@/]*)@)?([^@]*)$/i.exec(uri.trim()) ?? [];
  if (scheme === '') {
    throw new ConfigError(`${where} must look like https://user:password@host:port.`);
  }
  return {
    endpoint: parseEndpoint(scheme + rest, where),
    logins: login === undefined ? [] : [parseLogin(login, where, decodeURIComponent)],
  };
}

/** Reads `ETCDCTL_API=3 etcdctl --endpoints=<list> --user=<user>:<password>`, whatever else stands in it. */
function parseCommandLine(command: string, where: string): { endpoints: string[]; logins: Login[] } {
  const words = command.trim().split(/\s+/);
  const option = (name: string): string | undefined =>
    words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
  const endpoints = option('--endpoints');
  const login = option('--user');
  if (endpoints === undefined) {
    throw new ConfigError(`${where} must hold --endpoints=https://host:port, as in Compose's credentials.`);
  }
  return {
    endpoints: parseEndpoints(endpoints, where),
    logins: login === undefined ? [] : [parseLogin(login, where, (part) => part)],
  };
}

function parseLogin(login: string, where: string, decode: (part: string) => string): Login {
  const colon = login.indexOf(':');
  try {
    const username = decode(login.slice(0, Math.max(colon, 0)));
    const password = decode(login.slice(colon + 1));
    if (username !== '' && password !== '') {
      return { username, password };
    }
  } catch (error) {
    if (!(error instanceof URIError)) {
      throw error;
    }
  }
  throw new ConfigError(
    `${where} must hold user:password, both non-empty and percent-encoded where a URL needs it.`,
  );
}
