import type { Secret } from '../credentials/secret.js';
import { type ClusterAddress, EtcdClient } from '../etcd/client.js';
import { EtcdError, type EtcdErrorKind } from '../etcd/errors.js';

const ROOT = 'root';
const CALL_TIMEOUT_MS = 5_000;

export interface RootAccess extends Pick<ClusterAddress, 'clientCertificate' | 'clientKey'> {
  endpoints: readonly string[];
  /** PEM */
  caCertificate: string;
  password: Secret;
}

/**
 * Brings a cluster to the state in which authentication is on and `root` can sign in, from whatever state an earlier,
 * interrupted attempt left.
 *
 * @throws EtcdError, of the kind `wrong-password` when the cluster knows another password
 */
export async function enableAuthentication({ password, ...address }: RootAccess): Promise<void> {
  const client = new EtcdClient(address);
  const { auth } = client;
  const root = { name: ROOT, password: password.reveal() };
  const signIn = () => client.unauthenticated('Auth', 'authenticate', root, CALL_TIMEOUT_MS);
  try {
    if ((await kindOfFailure(signIn())) === undefined) {
      return;
    }
    if ((await kindOfFailure(auth.userAdd(root), 'already-exists')) !== undefined) {
      await auth.userChangePassword(root);
    }
    await kindOfFailure(auth.roleAdd({ name: ROOT }), 'already-exists');
    await auth.userGrantRole({ user: ROOT, role: ROOT });
    await auth.authEnable();
    await signIn();
  } finally {
    client.close();
  }
}

/** undefined when the call succeeds, `expected` when it fails in this way. @throws every other failure */
async function kindOfFailure(
  call: Promise<unknown>,
  expected: EtcdErrorKind = 'auth-not-enabled',
): Promise<EtcdErrorKind | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    if (error instanceof EtcdError && error.kind === expected) {
      return expected;
    }
    throw error;
  }
}
