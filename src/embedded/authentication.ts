import { Etcd3, EtcdRoleExistsError, EtcdUserExistsError } from 'etcd3';
import type { Secret } from '../credentials/secret.js';

const ROOT = 'root';
const ENABLE_TIMEOUT_MS = 10_000;

export interface RootAccess {
  endpoints: readonly string[];
  caCertificate: string;
  password: Secret;
}

/**
 * Brings a cluster to the state in which authentication is on and `root` can sign in, from whatever state an earlier,
 * interrupted attempt left. Waits for the cluster to answer until the deadline.
 *
 * @param deadline milliseconds since 1970
 * @throws EtcdAuthenticationFailedError when the cluster knows another password, or etcd's error
 */
export async function enableAuthentication(access: RootAccess, deadline: number): Promise<void> {
  const client = connect(access, deadline);
  try {
    const credentials = { name: ROOT, password: access.password.reveal() };
    try {
      await client.auth.authenticate(credentials);
      return;
    } catch (error) {
      if (!saysNotEnabled(error)) {
        throw error;
      }
    }
    try {
      await client.auth.userAdd(credentials);
    } catch (error) {
      if (!(error instanceof EtcdUserExistsError)) {
        throw error;
      }
      await client.auth.userChangePassword(credentials);
    }
    try {
      await client.auth.roleAdd({ name: ROOT });
    } catch (error) {
      if (!(error instanceof EtcdRoleExistsError)) {
        throw error;
      }
    }
    await client.auth.userGrantRole({ user: ROOT, role: ROOT });
    await client.auth.authEnable();
    await client.auth.authenticate(credentials);
  } finally {
    client.close();
  }
}

/**
 * Tells the cluster where members listen for their peers, where that has changed.
 *
 * @param peerUrls the present peer URL by member name
 * @throws etcd's error
 */
export async function correctPeerUrls(
  access: RootAccess,
  peerUrls: ReadonlyMap<string, string>,
): Promise<string[]> {
  const client = connect(access, Date.now() + ENABLE_TIMEOUT_MS, access.password);
  const corrected: string[] = [];
  try {
    for (const member of (await client.cluster.memberList({})).members) {
      const url = peerUrls.get(member.name);
      if (url !== undefined && (member.peerURLs.length !== 1 || member.peerURLs[0] !== url)) {
        await client.cluster.memberUpdate({ ID: member.ID, peerURLs: [url] });
        corrected.push(member.name);
      }
    }
  } finally {
    client.close();
  }
  return corrected;
}

function connect(access: RootAccess, deadline: number, password?: Secret): Etcd3 {
  const options = { deadline };
  return new Etcd3({
    hosts: [...access.endpoints],
    credentials: { rootCertificate: Buffer.from(access.caCertificate) },
    grpcOptions: { 'grpc.initial_reconnect_backoff_ms': 50, 'grpc.max_reconnect_backoff_ms': 200 },
    defaultCallOptions: () => options,
    ...(password && { auth: { username: ROOT, password: password.reveal(), callOptions: options } }),
  });
}

function saysNotEnabled(error: unknown): boolean {
  return error instanceof Error && error.message.includes('authentication is not enabled');
}
