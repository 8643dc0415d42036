import type { Backups } from '../backups/backups.js';
import { openBackups } from '../backups/open.js';
import { FIRST_CLUSTER } from '../broker/model.js';
import { Cluster } from '../cluster/cluster.js';
import { withDomainErrors } from '../cluster/domain-errors.js';
import { isolationGap } from '../cluster/isolation.js';
import { checkExternalCluster } from '../cluster/start-up-checks.js';
import { type Config, type PortalSettings, readConfig } from '../config/config.js';
import { type EncryptionKey, Sealer } from '../credentials/seal.js';
import { presentEncryptionKey } from '../embedded/kept-secrets.js';
import { runningEmbeddedCluster } from '../embedded/running.js';
import { type EtcdClient, within } from '../etcd/client.js';
import { EtcdError } from '../etcd/errors.js';
import { HistoryLease } from '../records/history-lease.js';
import { KeyCheck } from '../records/key-check.js';
import { RecordStore } from '../records/record-store.js';
import { RecordedNames } from '../records/recorded-names.js';

/** How long the embedded etcd of a running broker may take to answer, in milliseconds. */
const REACH_TIMEOUT_MS = 5_000;
/** Where `npm start` is reached when nothing else is set. */
const USUAL_URL = 'http://localhost:8080';
const ignore = () => undefined;
/** The commands look at alarms once at most, and tell what they find themselves. */
const SILENT = { info: ignore, warn: ignore, error: ignore };

/** What the operator's commands work with. */
export interface Tools {
  records: RecordStore;
  /** The one that the commands look at. */
  cluster: Cluster;
  recordedNames: RecordedNames;
  keyCheck: KeyCheck;
  /** The portals' etcd user that is set. */
  portalLogin?: PortalSettings['login'];
  /** What keeps the tenants of this cluster apart too little, for operators; undefined when nothing is known. */
  isolationGap(): Promise<string | undefined>;
  /** Where browsers reach the broker, without a trailing slash. */
  publicUrl: string;
  /** Whether credentials name portals, which can hold applications off. */
  hasPortals: boolean;
  /** Whether backups are made with these settings. */
  hasBackups: boolean;
  /** Throws when none are made, or no encryption key is to be had. Closed with the tools. */
  backups(): Backups;
  /** Throws when no encryption key is to be had; not every command needs one. */
  readonly seals: Sealer;
  close(): void;
}

/**
 * Connects to the broker's cluster with the broker's own settings. Works beside running brokers, and makes nothing.
 * @throws ConfigError, ClusterUnusable or another Error with one line for the operator
 */
export async function openTools(env: NodeJS.ProcessEnv): Promise<Tools> {
  const config = readConfig(env, 'tools');
  const address =
    config.cluster.kind === 'external' ? config.cluster : await runningEmbeddedCluster(config.dataDir);
  const keys = await encryptionKeys(config);
  const cluster = new Cluster(FIRST_CLUSTER, address, { log: SILENT });
  const { client } = cluster;
  // The commands change records as any replica does, but own no operation.
  const records = new RecordStore(client, new HistoryLease(client), { id: 'none' });
  try {
    await assertUsable(config, client, records);
  } catch (error) {
    client.close();
    throw error;
  }
  let opened: Backups | undefined;
  const closing = [() => client.close()];
  const seals = () => {
    if (keys.length === 0) {
      throw new Error(
        `DATA_DIR ${config.dataDir} holds no encryption key. Set BROKER_ENCRYPTION_KEY to the broker's.`,
      );
    }
    return new Sealer(keys);
  };
  return {
    records: withDomainErrors(records),
    cluster,
    recordedNames: withDomainErrors(new RecordedNames(client)),
    keyCheck: withDomainErrors(new KeyCheck(client)),
    ...(config.portal?.login && { portalLogin: config.portal.login }),
    isolationGap: async () => {
      const { version } = await client.maintenance.status(within(REACH_TIMEOUT_MS));
      return isolationGap(version, config.portal === undefined ? 'etcd' : 'portal');
    },
    get seals() {
      return seals();
    },
    publicUrl: config.publicUrl ?? USUAL_URL,
    hasPortals: config.portal !== undefined,
    hasBackups: config.backups !== undefined,
    backups: () => {
      if (config.backups === undefined) {
        throw new Error('No backups are made here. Set BACKUP_S3_URL or BACKUP_DIR as the broker has it.');
      }
      const { tenantKeys } = cluster;
      if (opened !== undefined) {
        return opened;
      }
      const { backups, close } = openBackups(config.backups, client, {
        seals: seals(),
        tenantKeys,
        log: SILENT,
      });
      closing.push(close);
      opened = backups;
      return backups;
    },
    close: () => {
      for (const close of closing) {
        close();
      }
    },
  };
}

async function encryptionKeys({ encryptionKeys: set, dataDir }: Config): Promise<readonly EncryptionKey[]> {
  if (set.length > 0) {
    return set;
  }
  const kept = await presentEncryptionKey(dataDir);
  return kept === undefined ? [] : [kept];
}

/** Says what is wrong with the cluster before a command finds it out by an error that explains nothing. */
async function assertUsable(
  { cluster, dataDir }: Config,
  client: EtcdClient,
  records: RecordStore,
): Promise<void> {
  if (cluster.kind === 'external') {
    // Looking must not change anything, whatever the broker itself is told to do.
    return checkExternalCluster(client, { ...cluster, enableAuth: false }, () => undefined);
  }
  try {
    await records.counts(within(REACH_TIMEOUT_MS));
  } catch (error) {
    if (error instanceof EtcdError && (error.kind === 'unavailable' || error.kind === 'timeout')) {
      throw new Error(
        `The embedded etcd of DATA_DIR ${dataDir} does not answer. It runs as long as its broker does: start the broker first.`,
      );
    }
    throw error;
  }
}
