import type { ExternalCluster } from '../config/config.js';
import { type EtcdClient, within } from '../etcd/client.js';
import { EtcdError } from '../etcd/errors.js';

/** The cluster can't be used as it is. The message is one line that says what to do. */
export class ClusterUnusable extends Error {
  override readonly name = 'ClusterUnusable';
}

const OLDEST = [3, 4] as const;
/** A cluster that is just starting has so long, in milliseconds, to become reachable. */
const REACH_TIMEOUT_MS = 10_000;
/** How long it is tried before the reason of the failure is looked at. */
const TRY_MS = 1_000;
const CALL_TIMEOUT_MS = 3_000;

/**
 * Looks at a cluster that the operator runs, before the first request: is it reachable, which version, is
 * authentication on, which kind of tokens, may the broker manage users? Nothing is changed there, except that
 * authentication is turned on if `ETCD_ENABLE_AUTH=true` asks for it.
 *
 * @param say gets one line for each check
 * @throws ClusterUnusable
 */
export async function checkExternalCluster(
  connection: EtcdClient,
  cluster: ExternalCluster,
  say: (line: string) => void,
): Promise<void> {
  const version = await reach(connection, cluster);
  say(`etcd: reachable at ${cluster.endpoints.join(', ')}`);
  assertVersion(version);
  say(`etcd: version ${version}`);
  if (!(await isAuthenticationOn(connection))) {
    if (!cluster.enableAuth) {
      throw new ClusterUnusable(
        'Authentication is off in the etcd cluster, so tenants could not be kept apart. Turn it on ("etcdctl auth enable"), or set ETCD_ENABLE_AUTH=true to have the broker do it.',
      );
    }
    await enableAuthentication(connection, cluster);
    say('etcd: authentication was off and is on now, as ETCD_ENABLE_AUTH=true asks');
  }
  say('etcd: authentication is on');
  assertLogin(cluster);
  say(`etcd: ${await checkTokens(connection)}`);
  await assertAdministrator(connection);
  say('etcd: the broker may manage users and roles');
}

async function reach(connection: EtcdClient, cluster: ExternalCluster): Promise<string> {
  const endAt = performance.now() + REACH_TIMEOUT_MS;
  for (;;) {
    try {
      // Needs no sign-in, so a wrong password is not mistaken for a cluster that does not answer.
      const response = await connection.unauthenticated<{ version: string }>(
        'Maintenance',
        'status',
        {},
        TRY_MS,
      );
      return response.version;
    } catch (error) {
      if (error instanceof EtcdError && (error.kind === 'signed-out' || error.kind === 'denied')) {
        return signedInVersion(connection, cluster);
      }
      const { message } = error as Error;
      const hopeless = TLS_FAILURES.find(([pattern]) => pattern.test(message));
      if (hopeless !== undefined || performance.now() + TRY_MS > endAt) {
        throw new ClusterUnusable(
          `The etcd cluster does not answer at ${cluster.endpoints.join(', ')} (${bareReason(message)}). ${hopeless?.[1] ?? 'Check ETCD_ENDPOINTS and the network.'}`,
        );
      }
    }
  }
}

/** Failures of the TLS handshake, which waiting does not mend, and what does. The texts are OpenSSL's and Node's. */
const TLS_FAILURES: readonly [RegExp, string][] = [
  [
    /alert (bad certificate|certificate required|unknown ca|handshake failure)/,
    'It wants a client certificate of an authority that it trusts: check ETCD_CLIENT_CERT and ETCD_CLIENT_KEY.',
  ],
  [/altnames/, 'Its certificate is for another host: check ETCD_ENDPOINTS.'],
  [/certificate has expired|certificate is not yet valid/, "Renew the cluster's certificate."],
  [
    /certificate|local issuer/,
    "It shows a certificate that ETCD_CA_CERT does not vouch for. Check ETCD_CA_CERT; it must hold the cluster's authority.",
  ],
  [/wrong version number|packet length too long/, 'It does not speak TLS: check ETCD_ENDPOINTS.'],
];

/** The heart of a message of the transport's or OpenSSL's, on one line. */
function bareReason(message: string): string {
  return message
    .replace(/^\S+:\d+: /, '')
    .replace(/[0-9A-F]{8,}:error:[0-9A-F]+:SSL routines:[^:]*:([^:]*):.*$/s, '$1')
    .replace(/\s+/g, ' ')
    .replace(/\.? *$/, '');
}

/** etcd 3.5 and later tell their version only to who has signed in. */
async function signedInVersion(connection: EtcdClient, cluster: ExternalCluster): Promise<string> {
  assertLogin(cluster);
  try {
    return (await connection.maintenance.status(within(CALL_TIMEOUT_MS))).version;
  } catch (error) {
    throw refused(error);
  }
}

function assertLogin({ username, clientCertificate }: ExternalCluster): void {
  if (username === undefined && clientCertificate === undefined) {
    throw new ClusterUnusable(
      'The etcd cluster asks for a login and none is set. Set ETCD_USERNAME and ETCD_PASSWORD, or ETCD_CLIENT_CERT and ETCD_CLIENT_KEY, to those of a user with the role root.',
    );
  }
}

function assertVersion(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    throw new ClusterUnusable(
      `The etcd cluster has version ${version}; ${OLDEST.join('.')} or later is needed.`,
    );
  }
}

async function isAuthenticationOn(connection: EtcdClient): Promise<boolean> {
  try {
    await connection.unauthenticated('Auth', 'authenticate', { name: '-', password: '-' }, REACH_TIMEOUT_MS);
    return true;
  } catch (error) {
    if (error instanceof EtcdError && error.kind === 'auth-not-enabled') {
      return false;
    }
    if (error instanceof EtcdError && !error.isTransient) {
      return true; // it refused these credentials, as it should
    }
    throw error;
  }
}

async function enableAuthentication(connection: EtcdClient, cluster: ExternalCluster): Promise<void> {
  const { username, password } = cluster;
  if (username !== 'root' || password === undefined) {
    throw new ClusterUnusable(
      'ETCD_ENABLE_AUTH=true needs ETCD_USERNAME=root and ETCD_PASSWORD: etcd turns authentication on only with a user root.',
    );
  }
  const { auth } = connection;
  const existing = (await auth.userList()).users;
  if (existing.includes(username)) {
    await auth.userChangePassword({ name: username, password: password.reveal() });
  } else {
    await auth.userAdd({ name: username, password: password.reveal() });
  }
  if (!(await auth.roleList()).roles.includes('root')) {
    await auth.roleAdd({ name: 'root' });
  }
  await auth.userGrantRole({ user: username, role: 'root' });
  await auth.authEnable();
  connection.forgetToken();
}

async function checkTokens(connection: EtcdClient): Promise<string> {
  const token = await connection.token().catch((error: unknown) => {
    throw refused(error);
  });
  if (token === undefined) {
    return 'signed in by client certificate; the kind of its tokens (--auth-token) is not visible, it must be simple';
  }
  // RFC 7519: three parts, the first of which is an object in JSON, so it begins with '{"'.
  if (/^eyJ[\w-]*\.[\w-]+\.[\w-]*$/.test(token)) {
    throw new ClusterUnusable(
      'The etcd cluster issues JWT tokens, all of which die whenever a user or role changes: every bind would sign all applications out. Start etcd with --auth-token=simple.',
    );
  }
  return 'tokens are simple';
}

async function assertAdministrator(connection: EtcdClient): Promise<void> {
  try {
    await connection.auth.userList(within(CALL_TIMEOUT_MS));
  } catch (error) {
    throw refused(error);
  }
}

function refused(error: unknown): Error {
  if (error instanceof EtcdError && error.kind === 'wrong-password') {
    return new ClusterUnusable('The etcd cluster refuses ETCD_USERNAME and ETCD_PASSWORD. Check both.');
  }
  if (error instanceof EtcdError && (error.kind === 'denied' || error.kind === 'signed-out')) {
    return new ClusterUnusable(
      'The broker\'s etcd user may not manage users and roles. Grant it the role root ("etcdctl user grant-role <user> root"), or set ETCD_USERNAME and ETCD_PASSWORD to one that has it.',
    );
  }
  return error as Error;
}
