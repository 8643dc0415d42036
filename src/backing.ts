import path from 'node:path';
import { compactionFinding } from './cluster/compaction.js';
import { isolationGap } from './cluster/isolation.js';
import type { BrokerCredentials, Config } from './config/config.js';
import type { Sealer } from './credentials/seal.js';
import { type EmbeddedCluster, startEmbeddedCluster } from './embedded/embedded-cluster.js';
import { findEtcd } from './embedded/etcd-binary.js';
import {
  EMBEDDED_USERNAME,
  type KeptSecret,
  keptBrokerPassword,
  keptEncryptionKey,
} from './embedded/kept-secrets.js';
import { type ClusterAddress, type EtcdClient, within } from './etcd/client.js';
import type { Logger } from './observability/log.js';
import type { OsbContext } from './osb/context.js';
import type { OwnPortals } from './own-portals.js';
import { sharedAuthority } from './portal/authority.js';
import { PortalRecords } from './portal/portal-records.js';

const STATUS_TIMEOUT_MS = 5_000;
const PACKAGE_ROOT = path.resolve(import.meta.dirname, '..', '..');

/** A cluster that is ready for use, and how to end it if it is the broker's own. */
export interface Backing {
  address: ClusterAddress;
  embedded?: EmbeddedCluster | undefined;
}

/**
 * Says what an operator should know of the cluster.
 * @returns what does not keep tenants apart in it, if anything
 */
export async function describeCluster(
  client: EtcdClient,
  { cluster, compactionMs, portal }: Config,
  say: (line: string) => void,
): Promise<string | undefined> {
  const { version } = await client.maintenance.status(within(STATUS_TIMEOUT_MS));
  const isolation = isolationGap(version, portal === undefined ? 'etcd' : 'portal');
  const compaction =
    cluster.kind === 'external' && compactionMs === undefined ? await compactionFinding(client) : undefined;
  if (compaction !== undefined) {
    say(`etcd: ${compaction}`);
  }
  if (isolation !== undefined) {
    say(`Warning: ${isolation}`);
  }
  return isolation;
}

/** What credentials say of how to connect. */
export async function tenantsAddress(
  { portal, advertisedEndpoints }: Config,
  { address, embedded, portals }: Backing & { portals: OwnPortals | undefined },
  client: EtcdClient,
  seals: Sealer,
): Promise<Pick<OsbContext['service'], 'names' | 'endpoints' | 'caCertificate'>> {
  if (portal === undefined) {
    const { endpoints, caCertificate } = address;
    return { names: 'etcd', endpoints: advertisedEndpoints ?? endpoints, caCertificate };
  }
  if (portals !== undefined && embedded !== undefined) {
    return { names: 'portal', endpoints: portals.endpoints, caCertificate: portals.caCertificate(embedded) };
  }
  const { endpoints, certificate, caCertificate } = portal;
  const isOwn = certificate === undefined && caCertificate === undefined;
  const authority = isOwn ? await sharedAuthority(new PortalRecords(client), seals) : undefined;
  return { names: 'portal', endpoints, caCertificate: authority?.certificate ?? caCertificate };
}

/** Starts the embedded cluster, if the broker is to have one. */
export async function openCluster(
  config: Config,
  log: Logger,
  say: (line: string) => void,
  prepareAccess: () => Promise<unknown>,
  portals: OwnPortals | undefined,
): Promise<Backing> {
  if (config.cluster.kind === 'external') {
    return { address: config.cluster };
  }
  const env = { ...process.env, ETCD_BINARY: config.cluster.etcdBinary };
  const cacheDir = path.join(PACKAGE_ROOT, '.cache', 'etcd');
  const binary = await findEtcd({ env, cacheDir, onProgress: say });
  log.info({ version: binary.version, source: binary.source }, 'Starting the embedded etcd');
  const embedded = await startEmbeddedCluster({
    dataDir: config.dataDir,
    binary,
    members: config.cluster.members,
    clientCertificates: portals !== undefined,
    certificates: portals?.certificates ?? [],
    prepare: async () => {
      // The key that seals records must be there before the first record can be.
      await prepareAccess();
      await portals?.prepare();
    },
    log: (level, message, details) => log[level](details ?? {}, message),
  });
  return { address: embedded, embedded };
}

export interface BrokerAccess {
  credentials: readonly BrokerCredentials[];
  encryptionKeys: Config['encryptionKeys'];
  keptPassword?: KeptSecret;
}

/** What was configured; with an embedded cluster what is missing is made once and kept. */
export async function brokerAccess({
  brokerCredentials,
  encryptionKeys,
  dataDir,
}: Config): Promise<BrokerAccess> {
  const keys = encryptionKeys.length > 0 ? encryptionKeys : [await keptEncryptionKey(dataDir)];
  if (brokerCredentials.length > 0) {
    return { credentials: brokerCredentials, encryptionKeys: keys };
  }
  const keptPassword = await keptBrokerPassword(dataDir);
  const credentials = [{ username: EMBEDDED_USERNAME, password: keptPassword.secret }];
  return { credentials, encryptionKeys: keys, keptPassword };
}
