import type { BoundService } from './cloud-foundry.js';
import { parseEndpoint, parseEndpoints, uniform } from './endpoints.js';
import { fail } from './error.js';

/** A value and how messages name the place where it was read. */
export interface Field {
  value: string;
  where: string;
}

interface Login {
  username: string;
  password: string;
}

/** What a bound service says about a cluster. Passwords and keys are still bare: wrap them at once. */
export interface BoundCluster {
  endpoints: string[];
  login: Login | undefined;
  /** PEM in any form, not read yet. */
  ca: Field | undefined;
  certificate: Field | undefined;
  key: Field | undefined;
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
    fail(
      `VCAP_SERVICES has several services that say etcd: ${names}; set ETCD_ENDPOINTS, or unbind all but one.`,
    );
  }
  return found[0];
}

/** How messages name a bound service. */
export function serviceName({ name }: BoundService): string {
  return `The bound service ${JSON.stringify(name.slice(0, 60))} (VCAP_SERVICES)`;
}

/**
 * Reads the credentials of a service that offers etcd: those that Compose for etcd gave (`uri`, `uri_direct_1`,
 * `uri_cli`, `ca_certificate_base64`), or plain ones (`endpoints`, `username`, `password`, `ca_cert`, `client_cert`,
 * `client_key`), as an operator writes them for `cf create-user-provided-service`. The endpoints of all are joined,
 * in the order `endpoints`, `uri`, `uri_direct_1` and on, `uri_cli`; the first login in that order counts.
 *
 * @throws ConfigError which names the service and the field that can't be used
 */
export function readBoundService(service: BoundService): BoundCluster {
  const { credentials } = service;
  const where = (name: string) => `${serviceName(service)}: its credential "${name}"`;
  /** The first of some fields that is there. */
  const field = (...names: string[]): Field | undefined => {
    const name = names.find((candidate) => (credentials[candidate] ?? '') !== '');
    if (name === undefined) {
      return undefined;
    }
    const value = credentials[name];
    return typeof value === 'string'
      ? { value, where: where(name) }
      : fail(`${where(name)} must be a string.`);
  };
  const pair = (first: [string, Field | undefined], second: [string, Field | undefined]) => {
    const [missing] = [first, second].filter(([, value]) => value === undefined);
    if (missing && (first[1] ?? second[1])) {
      fail(`${where(missing[0])} is missing; give both of them or neither.`);
    }
  };
  const [username, password] = [field('username', 'user'), field('password')];
  pair(['username', username], ['password', password]);
  const [certificate, key] = [field('client_cert'), field('client_key')];
  pair(['client_cert', certificate], ['client_key', key]);

  const parts = [
    ...uriFields(credentials).map((name) => parseUri(field(name) as Field)),
    ...[field('uri_cli')].flatMap((command) => (command ? [parseCommandLine(command)] : [])),
  ];
  const endpoints = [
    ...plainEndpoints(credentials.endpoints, where('endpoints')),
    ...parts.flatMap((part) => part.endpoints),
  ];
  if (endpoints.length === 0) {
    fail(`${where('uri')} is missing; give uri, uri_cli or endpoints, or set ETCD_ENDPOINTS.`);
  }
  return {
    endpoints: uniform(endpoints, where('uri')),
    login:
      username && password
        ? { username: username.value, password: password.value }
        : parts.find(({ login }) => login)?.login,
    ca: field('ca_cert', 'ca_certificate', 'ca_certificate_base64'),
    certificate,
    key,
  };
}

function plainEndpoints(value: unknown, where: string): string[] {
  const list = Array.isArray(value) ? value : [value ?? ''];
  if (!list.every((entry) => typeof entry === 'string')) {
    fail(`${where} must be a string or an array of strings.`);
  }
  return list.join(',') === '' ? [] : parseEndpoints(list.join(','), where);
}

/** `uri`, then `uri_direct_1` and on in the order of their numbers. */
function uriFields(credentials: BoundService['credentials']): string[] {
  const number = (name: string) => Number(/^uri_direct_([0-9]{1,3})$/.exec(name)?.[1] ?? Number.NaN);
  const direct = Object.keys(credentials).filter((name) => !Number.isNaN(number(name)));
  return ['uri', ...direct.sort((a, b) => number(a) - number(b))].filter(
    (name) => (credentials[name] ?? '') !== '',
  );
}

interface Part {
  endpoints: string[];
  login: Login | undefined;
}

function parseUri({ value, where }: Field): Part {
  const [, scheme, login, rest = ''] = /^([a-z]+:\/\/)(?:([^@/]*)@)?([^@]*)$/i.exec(value.trim()) ?? [];
  if (scheme === undefined) {
    return fail(`${where} must look like https://user:password@host:port.`);
  }
  return {
    endpoints: [parseEndpoint(scheme + rest, where)],
    login: login === undefined ? undefined : parseLogin(login, where, decodeURIComponent),
  };
}

/** Reads `ETCDCTL_API=3 etcdctl --endpoints=<list> --user=<user>:<password>`, whatever else stands in it. */
function parseCommandLine({ value, where }: Field): Part {
  const option = (name: string) => new RegExp(`(?:^|\\s)--${name}=(\\S*)`).exec(value)?.[1];
  const [endpoints, login] = [option('endpoints'), option('user')];
  if (endpoints === undefined) {
    return fail(`${where} must hold --endpoints=https://host:port, as in Compose's credentials.`);
  }
  return {
    endpoints: parseEndpoints(endpoints, where),
    login: login === undefined ? undefined : parseLogin(login, where, (part) => part),
  };
}

function parseLogin(login: string, where: string, decode: (part: string) => string): Login {
  const [, user, secret] = /^([^:]+):(.+)$/s.exec(login) ?? [];
  try {
    if (user !== undefined && secret !== undefined) {
      return { username: decode(user), password: decode(secret) };
    }
  } catch (error) {
    if (!(error instanceof URIError)) {
      throw error;
    }
  }
  return fail(`${where} must hold user:password, both non-empty and percent-encoded where a URL needs it.`);
}
