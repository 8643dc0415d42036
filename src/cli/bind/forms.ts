import { shellWord } from '../shell.js';

/** What all credentials of this broker have, and the forms need. */
export interface BoundCredentials {
  readonly uri: string;
  readonly uri_direct_1?: string;
  readonly username: string;
  readonly password: string;
  /** Left out when the portals' certificates are of a public authority. */
  readonly ca_certificate_base64?: string;
}

export interface Bound {
  name: string;
  binding: string;
  /** Names as in the catalog. */
  service: { name: string; tags: readonly string[] };
  plan: string;
  credentials: BoundCredentials;
}

/** The authority of the credentials, PEM; undefined when it is a public one. */
export function authorityOf({ ca_certificate_base64 }: BoundCredentials): string | undefined {
  return ca_certificate_base64 && Buffer.from(ca_certificate_base64, 'base64').toString('utf8');
}

/** `https://host:port` of each portal. Not by way of `URL`, which drops a port that is the scheme's usual one. */
export function endpointsOf({ uri, uri_direct_1 }: BoundCredentials): string[] {
  return [uri, uri_direct_1].flatMap((each) =>
    each === undefined ? [] : [each.replace(/\/\/[^/]*@/, '//')],
  );
}

/** For `eval`: what applications read on Cloud Foundry, and what etcdctl reads. */
export function shellExports(bound: Bound, caFile: string | undefined): string {
  const { name, service, plan, credentials } = bound;
  const entry = { name, label: service.name, tags: service.tags, plan, credentials };
  const variables = {
    VCAP_SERVICES: JSON.stringify({ [service.name]: [entry] }),
    ...etcdctlSettings(bound.credentials, caFile),
  };
  return lines(Object.entries(variables).map(([name, value]) => `export ${name}=${shellWord(value)}`));
}

/**
 * A line to which a command of etcdctl is added. The password is in the environment, where `ps` does not show it to
 * others.
 */
export function etcdctlLine({ credentials }: Bound, caFile: string | undefined): string {
  const settings = Object.entries(etcdctlSettings(credentials, caFile));
  return lines([[...settings.map(([name, value]) => `${name}=${shellWord(value)}`), 'etcdctl'].join(' ')]);
}

function etcdctlSettings(
  credentials: BoundCredentials,
  caFile: string | undefined,
): { [name: string]: string } {
  return {
    ETCDCTL_API: '3',
    ETCDCTL_ENDPOINTS: endpointsOf(credentials).join(','),
    ETCDCTL_USER: `${credentials.username}:${credentials.password}`,
    ...(caFile === undefined ? {} : { ETCDCTL_CACERT: caFile }),
  };
}

/**
 * A Secret of Kubernetes with the well-known entries of the Service Binding Specification 1.1 ("Well-known Secret
 * Entries"), and `endpoints` for all portals, since `host` and `port` have room for one.
 */
export function kubernetesSecret({ name, binding, credentials }: Bound): string {
  const [first = ''] = endpointsOf(credentials);
  const [, host = '', port = '443'] = /^https?:\/\/(\[[^\]]+\]|[^:/]+)(?::(\d+))?/.exec(first) ?? [];
  const authority = authorityOf(credentials);
  const entries = {
    type: 'etcd',
    provider: 'compose-etcd-broker',
    host: host.replace(/^\[|\]$/g, ''),
    port,
    username: credentials.username,
    password: credentials.password,
    ...(authority === undefined ? {} : { certificates: authority }),
    uri: credentials.uri,
    endpoints: endpointsOf(credentials).join(','),
  };
  return lines([
    'apiVersion: v1',
    'kind: Secret',
    'metadata:',
    `  name: ${binding === 'default' ? name : `${name}-${binding}`}`,
    'type: servicebinding.io/etcd',
    'data:',
    // A JSON text is a YAML scalar as well.
    ...Object.entries(entries).map(
      ([entry, value]) => `  ${entry}: ${JSON.stringify(Buffer.from(value, 'utf8').toString('base64'))}`,
    ),
  ]);
}

function lines(each: readonly string[]): string {
  return each.map((line) => `${line}\n`).join('');
}
