import path from 'node:path';
import { Recovery } from './broker/operations/recovery.js';
import { Worker } from './broker/operations/worker.js';
import type { BrokerParts } from './broker/parts.js';
import { InstanceCache } from './broker/requests/instance-cache.js';
import { Expirer } from './broker/upkeep/expirer.js';
import { Janitor } from './broker/upkeep/janitor.js';
import { loadCatalog } from './catalog/catalog.js';
import { AccessControl } from './cluster/access-control.js';
import { AlarmWatch } from './cluster/alarm-watch.js';
import { withDomainErrors } from './cluster/domain-errors.js';
import { checkExternalCluster } from './cluster/start-up-checks.js';
import { TenantKeys } from './cluster/tenant-keys.js';
import type { BrokerCredentials, Config } from './config/config.js';
import { Sealer } from './credentials/seal.js';
import { type EmbeddedCluster, startEmbeddedCluster } from './embedded/embedded-cluster.js';
import { findEtcd } from './embedded/etcd-binary.js';
import { type KeptSecret, keptBrokerPassword, keptEncryptionKey } from './embedded/kept-secrets.js';
import { isAccessChange } from './etcd/calls.js';
import { type ClusterAddress, EtcdClient, within } from './etcd/client.js';
import type { Logger } from './observability/log.js';
import { Metrics } from './observability/metrics.js';
import { ReadinessCheck } from './observability/readiness.js';
import type { OsbContext } from './osb/context.js';
import { createApp } from './osb/http/app.js';
import { HttpServer } from './osb/http/server.js';
import { ClusterClock } from './records/cluster-clock.js';
import { HistoryLease } from './records/history-lease.js';
import { RecordStore } from './records/record-store.js';
import { Session } from './records/session.js';

/** How long a stopping broker waits for what runs, in milliseconds. Kubernetes kills it after 30 s by default. */
const DRAIN_MS = 20_000;
/** How long after that it still waits for etcd, which surely hangs then. */
const FAREWELL_MS = 3_000;
/** How long a look at /metrics waits for etcd's counts. */
const COUNT_TIMEOUT_MS = 3_000;
const EMBEDDED_USERNAME = 'broker';
const PACKAGE_ROOT = path.resolve(import.meta.dirname, '..', '..');

export interface Application {
  /** Where the broker listens, e.g. `http://localhost:8080`. */
  url: string;
  username: string;
  /** The password that was made for an embedded cluster, if the operator set none. */
  keptPassword?: KeptSecret;
  endpoints: readonly string[];
  /** Stops listening, lets what runs end, leaves the rest for whoever takes over. */
  stop(): Promise<void>;
}

/** A cluster that is ready for use, and how to end it if it is the broker's own. */
interface Backing {
  address: ClusterAddress;
  embedded?: EmbeddedCluster;
}

/**
 * Puts the parts together and starts them: the only place that knows every part.
 * @param say gets lines for the person who starts the broker
 * @throws Error whose message is one line for that person
 */
export async function startApplication(
  config: Config,
  log: Logger,
  say: (line: string) => void,
): Promise<Application> {
  const catalog = loadCatalog(config.catalogPath);
  const metrics = new Metrics();
  const { address, embedded } = await openCluster(config, log, say);
  let janitor: Janitor | undefined;
  const connection = new EtcdClient(address, (method, outcome, seconds, error) => {
    metrics.etcdCall(method, outcome, seconds);
    if (error?.mayBeApplied && isAccessChange(method)) {
      janitor?.suspect();
    }
  });
  const undo: (() => Promise<unknown> | undefined)[] = [
    async () => embedded?.stop(),
    async () => connection.close(),
  ];
  try {
    if (config.cluster.kind === 'external') {
      await checkExternalCluster(connection, config.cluster, say);
    }
    const access = await brokerAccess(config);
    const seals = new Sealer(access.encryptionKeys);
    const session = new Session(connection, log);
    const alarms = new AlarmWatch(connection, log, (raised) => metrics.setAlarms(raised));
    const store = new RecordStore(
      connection,
      new HistoryLease(connection),
      session,
      (kind, state) => metrics.operation(kind, state),
      () => alarms.raised.includes('NOSPACE'),
    );
    const records = withDomainErrors(store);
    const tenantKeys = withDomainErrors(new TenantKeys(connection));
    const workerParts = {
      records,
      access: withDomainErrors(new AccessControl(connection)),
      tenantKeys,
      seals,
      session,
      log,
    };
    const worker = new Worker(workerParts);
    const recovery = new Recovery(workerParts, worker);
    const broker: BrokerParts = {
      records,
      tenantKeys,
      seals,
      session,
      worker,
      cache: new InstanceCache(),
      log,
      clock: withDomainErrors(new ClusterClock(connection, session)),
      trouble: () => (alarms.raised.length === 0 ? undefined : alarmRefusal(alarms.raised)),
    };
    const service: OsbContext['service'] = {
      endpoints: config.advertisedEndpoints ?? address.endpoints,
      caCertificate: address.caCertificate,
      publicUrl: config.publicUrl ?? '',
      region: config.region,
    };
    const app = createApp({
      broker,
      catalog,
      service,
      credentials: access.credentials,
      trustProxy: config.trustProxy,
      log,
      metrics,
      readiness: new ReadinessCheck(connection, store, session, (ready) => metrics.setReady(ready)),
      refreshCounts: async () => metrics.setCounts(await store.counts(within(COUNT_TIMEOUT_MS))),
    });
    await alarms.start();
    undo.push(() => alarms.stop());
    await session.start();
    undo.push(() => session.stop());
    recovery.start();
    undo.push(() => recovery.stop());
    janitor = new Janitor(workerParts);
    janitor.start();
    undo.push(async () => janitor?.stop());
    const expirer = new Expirer(broker, workerParts.access);
    expirer.start();
    undo.push(() => expirer.stop());
    const server = new HttpServer(app, (error) => {
      log.error({ reason: error.message }, 'A connection could not be taken');
    });
    const url = await server.listen(config.port);
    service.publicUrl = config.publicUrl ?? url;
    undo.push(async () => {
      const giveUp = setTimeout(() => connection.close(), DRAIN_MS + FAREWELL_MS);
      giveUp.unref();
      const startedAt = performance.now();
      // The requests first: until it is answered, each may still begin an operation.
      await server.close(DRAIN_MS);
      await worker.drain(DRAIN_MS - (performance.now() - startedAt));
    });
    return {
      url,
      username: access.credentials[0]?.username as string,
      ...(access.keptPassword === undefined ? {} : { keptPassword: access.keptPassword }),
      endpoints: service.endpoints,
      stop: () => unwind(undo, log),
    };
  } catch (error) {
    await unwind(undo, log);
    throw error;
  }
}

async function openCluster(config: Config, log: Logger, say: (line: string) => void): Promise<Backing> {
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
    log: (level, message, details) => log[level](details ?? {}, message),
  });
  return { address: embedded, embedded };
}

function alarmRefusal(raised: readonly string[]): string {
  return `No bindings are made while the etcd cluster has raised the alarm ${raised.join(', ')}, since they would not be safe. Ask its operator to make room (delete, compact, defragment) and to disarm the alarm.`;
}

interface BrokerAccess {
  credentials: readonly BrokerCredentials[];
  encryptionKeys: Config['encryptionKeys'];
  keptPassword?: KeptSecret;
}

/** What was configured; with an embedded cluster what is missing is made once and kept. */
async function brokerAccess({ brokerCredentials, encryptionKeys, dataDir }: Config): Promise<BrokerAccess> {
  const keys = encryptionKeys.length > 0 ? encryptionKeys : [await keptEncryptionKey(dataDir)];
  if (brokerCredentials.length > 0) {
    return { credentials: brokerCredentials, encryptionKeys: keys };
  }
  const keptPassword = await keptBrokerPassword(dataDir);
  const credentials = [{ username: EMBEDDED_USERNAME, password: keptPassword.secret }];
  return { credentials, encryptionKeys: keys, keptPassword };
}

/** Ends what was started, the latest first. What fails is logged and does not keep the rest from ending. */
async function unwind(undo: (() => Promise<unknown> | undefined)[], log: Logger): Promise<void> {
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
    try {
      await step();
    } catch (error) {
      log.warn({ reason: (error as Error).message }, 'A part of the broker did not stop cleanly');
    }
  }
}
