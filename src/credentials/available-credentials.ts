import type { Secret } from './secret.js';

/** Whom tenants' credentials name: etcd itself, or portals that know the tenants. */
export type CredentialsName = 'etcd' | 'portal';

/** What all credentials of this broker have in common. */
export interface ServiceAddress {
  /** What the endpoints are. Portals put the key prefix before the keys themselves. */
  names: CredentialsName;
  /** `https://host:port` of each member or portal that applications connect to; at least one. */
  endpoints: readonly string[];
  /** PEM; left out when the endpoints' certificates are signed by a public authority. */
  caCertificate?: string | undefined;
  /** Where the broker is reached, without a trailing slash. */
  publicUrl: string;
  region: string;
}

export interface BindingAccess {
  instance_id: string;
  deployment_id: string;
  username: string;
  role: string;
  key_prefix: string;
  password: Secret;
  /** Of the administration API. */
  token?: string | undefined;
}

/** OSB 2.17, "Endpoint Object". */
export interface Endpoint {
  host: string;
  ports: string[];
  protocol: 'tcp';
}

/**
 * The "Available credentials" of Compose for etcd, in its order, and four fields of this broker's own: `username`,
 * `password`, `role`, and `key_prefix`, which the application puts before its keys; it is
 * empty where a portal does that. A binding that asks for it has a token with the address of the administration API.
 *
 * Clients that were written for Compose split `uri_cli` on spaces and take its words 2 and 3 apart at `=` and `:`,
 * so the order of its words is fixed and nothing is quoted.
 */
export function availableCredentials(
  service: ServiceAddress,
  access: BindingAccess,
): { [field: string]: unknown } {
  const { instance_id, deployment_id, username, role, key_prefix, token } = access;
  const password = access.password.reveal();
  // Not by way of `URL`, which drops a port that is the scheme's usual one.
  const [uri, direct] = service.endpoints.map((endpoint) =>
    endpoint.replace('://', `://${username}:${password}@`),
  );
  return {
    db_type: 'etcd',
    maps: [],
    instance_administration_api: {
      instance_id,
      root: `${service.publicUrl}/api`,
      deployment_id,
      ...(token === undefined ? {} : { token }),
    },
    name: deploymentName(service.region, instance_id),
    uri_cli: `ETCDCTL_API=3 etcdctl --endpoints=${service.endpoints.join(',')} --user=${username}:${password}`,
    ...(direct === undefined ? {} : { uri_direct_1: direct }),
    ...(service.caCertificate === undefined
      ? {}
      : { ca_certificate_base64: Buffer.from(service.caCertificate, 'utf8').toString('base64') }),
    deployment_id,
    uri,
    username,
    password,
    role,
    key_prefix: service.names === 'portal' ? '' : key_prefix,
  };
}

/** A deployment's name as Compose gave it on Bluemix. */
export function deploymentName(region: string, instanceId: string): string {
  return `bmix-${region}-yp-${encodeURIComponent(instanceId)}`;
}

/** OSB 2.17, "Endpoint Object": every host and port that the application uses. */
export function endpointObjects(endpoints: readonly string[]): Endpoint[] {
  return endpoints.map((endpoint) => {
    const { hostname, port, protocol } = new URL(endpoint);
    const host = hostname.replace(/^\[|\]$/g, '');
    return { host, ports: [port || (protocol === 'https:' ? '443' : '80')], protocol: 'tcp' };
  });
}
