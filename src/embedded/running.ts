import path from 'node:path';
import { Secret } from '../credentials/secret.js';
import type { ClusterAddress } from '../etcd/client.js';
import { readIdentity } from './certificates.js';
import { isMissing, readIfPresent } from './durable-file.js';
import { readRemembered } from './layout.js';

/**
 * How to reach the embedded cluster of a broker that runs, from what it keeps in its data folder. For the operator's
 * tools, which work beside it.
 * @throws Error with one line when the folder holds no cluster
 */
export async function runningEmbeddedCluster(dataDir: string): Promise<ClusterAddress> {
  const layout = await readRemembered(dataDir);
  const [caCertificate, password] = await Promise.all(
    ['certificates/ca.pem', 'etcd-root-password'].map((name) => readIfPresent(path.join(dataDir, name))),
  );
  if (layout === undefined || caCertificate === undefined || password === undefined) {
    throw new Error(
      `DATA_DIR ${dataDir} holds no embedded cluster. Set DATA_DIR to the broker's, or ETCD_ENDPOINTS to the cluster.`,
    );
  }
  const identity = await readIdentity(path.join(dataDir, 'certificates', 'broker.pem')).catch(
    (error: unknown) => {
      if (isMissing(error)) {
        return {}; // of an earlier release, whose etcd demands none
      }
      throw error;
    },
  );
  return {
    ...identity,
    endpoints: layout.members.map(({ clientPort }) => `https://localhost:${clientPort}`),
    caCertificate,
    username: 'root',
    password: new Secret(password.trim()),
  };
}
