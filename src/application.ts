import { Administration } from './administration/administration.js';
import { KeyBrowser } from './administration/key-browser.js';
import { type BrokerAccess, brokerAccess, describeCluster, openCluster, tenantsAddress } from './backing.js';
import { BackupsOfInstances } from './backups/instance-backups.js';
import { BackupKeeper } from './backups/keeper.js';
import { openBackups } from './backups/open.js';
import { FIRST_CLUSTER } from './broker/model.js';
import { Recovery } from './broker/operations/recovery.js';
import { Removal } from './broker/operations/removal.js';
import { Tasks } from './broker/operations/tasks.js';
import { Worker } from './broker/operations/worker.js';
import type { BrokerParts } from './broker/parts.js';
import { InstanceCache } from './broker/requests/instance-cache.js';
import { Expirer } from './broker/upkeep/expirer.js';
import { Janitor } from './broker/upkeep/janitor.js';
import { Scaler } from './broker/upkeep/scaler.js';
import { loadCatalog } from './catalog/catalog.js';
import { Cluster } from './cluster/cluster.js';
import { Compaction } from './cluster/compaction.js';
import { withDomainErrors } from './cluster/domain-errors.js';
import { Pool } from './cluster/pool.js';
import { checkExternalCluster } from './cluster/start-up-checks.js';
import type { BackupSettings } from './config/backups.js';
import type { Config } from './config/config.js';
import type { CredentialsName } from './credentials/available-credentials.js';
import { Sealer } from './credentials/seal.js';
import { callbackUrl, EVERY_DEPLOYMENT, signInLink } from './dashboard/address.js';
import type { KeptSecret } from './embedded/kept-secrets.js';
import { isAccessChange } from './etcd/calls.js';
import { within } from './etcd/client.js';
import type { Logger } from './observability/log.js';
import { Metrics } from './observability/metrics.js';
import { ReadinessCheck } from './observability/readiness.js';
import type { OsbContext } from './osb/context.js';
import { createApp } from './osb/http/app.js';
import { HttpServer } from './osb/http/server.js';
import { OwnPortals } from './own-portals.js';
import { portalMetrics } from './portal/metrics/prometheus.js';
import { ApiTokens } from './records/api-tokens.js';
import { ClusterClock } from './records/cluster-clock.js';
import { DashboardLinks } from './records/dashboard-links.js';
import { HistoryLease } from './records/history-lease.js';
import { KeyCheck } from './records/key-check.js';
import { RecordStore } from './records/record-store.js';
import { Session } from './records/session.js';
import { Folding } from './usage/folding.js';
import { UsageSeries } from './usage/series.js';
import { packageVersion } from './version.js';

/** How long a stopping broker waits for what runs, in milliseconds. Kubernetes kills it after 30 s by default. */
const DRAIN_MS = 20_000;
/** How long after that it still waits for etcd, which surely hangs then. */
const FAREWELL_MS = 3_000;
/** How long tenants' calls may still run at the portals of a stopping broker; watches end then. */
const PORTAL_DRAIN_MS = 5_000;
/** How long a look at /metrics waits for etcd's counts. */
const COUNT_TIMEOUT_MS = 3_000;

export interface Application {
  /** Where the broker listens, e.g. `http://localhost:8080`. */
  url: string;
  /** Where platforms and browsers reach it. */
  publicUrl: string;
  username: string;
  /** The password that was made for an embedded cluster, if the operator set none. */
  keptPassword?: KeptSecret;
  /** What credentials name. */
  endpoints: readonly string[];
  /** What `endpoints` are. */
  names: CredentialsName;
  /** Signs a browser in to all dashboards, once; with an embedded cluster, whose broker a person starts by hand. */
  dashboardLink?: string;
  /** Those that this broker runs itself. */
  portals?: OwnPortals;
  /** Stops listening, lets what runs end, leaves the rest for whoever takes over. */
  stop(): Promise<void>;
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
  const catalog = loadCatalog(
    config.catalogPath,
    config.dashboard && {
      id: config.dashboard.clientId,
      secret: config.dashboard.clientSecret.reveal(),
      redirect_uri: callbackUrl(config.publicUrl ?? ''),
    },
  );
  const metrics = new Metrics(await packageVersion());
  let made: Promise<BrokerAccess> | undefined;
  const prepareAccess = () => {
    made ??= brokerAccess(config);
    return made;
  };
  const portals =
    config.portal && config.cluster.kind === 'embedded'
      ? new OwnPortals(config.portal, config, log)
      : undefined;
  const { address, embedded } = await openCluster(config, log, say, prepareAccess, portals).catch(
    async (error: unknown) => {
      await portals?.stop(0);
      throw error;
    },
  );
  let janitor: Janitor | undefined;
  const cluster = new Cluster(FIRST_CLUSTER, address, {
    log,
    observe: (method, outcome, seconds, error) => {
      metrics.etcdCall(method, outcome, seconds);
      if (error?.mayBeApplied && isAccessChange(method)) {
        janitor?.suspect();
      }
      if (error?.kind === 'other') {
        // Users are told none of etcd's words, and what was not foreseen is explained by nothing else.
        log.warn({ method, reason: error.message }, 'A call to etcd failed');
      }
    },
    onAlarms: (raised) => metrics.setAlarms(raised),
  });
  const { client } = cluster;
  const clusters = new Pool(cluster);
  const undo: (() => Promise<unknown> | undefined)[] = [
    async () => embedded?.stop(),
    async () => cluster.close(),
    async () => portals?.stop(PORTAL_DRAIN_MS),
  ];
  try {
    if (config.cluster.kind === 'external') {
      await checkExternalCluster(client, config.cluster, say);
    }
    const isolation = await describeCluster(client, config, say);
    const access = await prepareAccess();
    const keyCheck = new KeyCheck(client);
    const seals = new Sealer(access.encryptionKeys);
    await keyCheck.verify(seals);
    const session = new Session(client, log);
    const store = new RecordStore(
      client,
      new HistoryLease(client),
      session,
      ({ kind, state, started_at, finished_at = started_at }) => {
        metrics.operation(kind, state, (Date.parse(finished_at) - Date.parse(started_at)) / 1_000);
        readiness.wrote();
      },
    );
    const records = withDomainErrors(store);
    const readiness = new ReadinessCheck(
      client,
      store,
      session,
      (ready) => metrics.setReady(ready),
      isolation,
    );
    const copies =
      config.backups && openBackups(config.backups, client, { seals, tenantKeys: cluster.tenantKeys, log });
    undo.push(async () => copies?.close());
    const backups =
      copies &&
      new BackupsOfInstances({ ...(config.backups as BackupSettings), backups: copies.backups, catalog });
    const workerParts = { records, clusters, seals, session, log, backups };
    const tasks = new Tasks();
    const removal = new Removal(workerParts, tasks);
    const worker = new Worker(workerParts, tasks, removal);
    const recovery = new Recovery({ ...workerParts, tasks, worker, removal });
    const broker: BrokerParts = {
      ...workerParts,
      tasks,
      worker,
      removal,
      cache: new InstanceCache(),
      clock: withDomainErrors(new ClusterClock(client, session)),
    };
    if (portals !== undefined && embedded !== undefined) {
      await portals.start(embedded, client, access.encryptionKeys, catalog);
    }
    const service: OsbContext['service'] = {
      ...(await tenantsAddress(config, { address, embedded, portals }, client, seals)),
      publicUrl: config.publicUrl ?? '',
      region: config.region,
    };
    const links = withDomainErrors(new DashboardLinks(client));
    const administration = new Administration({
      ...{ broker, catalog, service },
      copies: copies?.backups,
      keyBrowser: withDomainErrors(new KeyBrowser(client)),
      usage: withDomainErrors(new UsageSeries(client)),
      tokens: withDomainErrors(new ApiTokens(client)),
      etcdVersion: async () => (await client.maintenance.status()).version,
    });
    const stopping = new AbortController();
    const app = createApp({
      ...{ broker, catalog, service, administration, links },
      stopping: stopping.signal,
      platform: config.dashboard,
      instances: () => records.instances(() => undefined),
      credentials: access.credentials,
      trustProxy: config.trustProxy,
      log,
      metrics,
      readiness,
      refreshMetrics: async () => {
        metrics.setCertificates((await embedded?.certificateExpiries()) ?? []);
        metrics.setCounts(await store.counts(within(COUNT_TIMEOUT_MS)));
      },
      portalMetrics: async () => (portals === undefined ? '' : portalMetrics(await portals.tell())),
    });
    await cluster.alarms.start();
    undo.push(() => cluster.alarms.stop());
    await session.start();
    undo.push(() => session.stop());
    recovery.start();
    undo.push(() => recovery.stop());
    janitor = new Janitor({ records, cluster, log }, (count) => metrics.setUnknownNames(count));
    janitor.start();
    undo.push(async () => janitor?.stop());
    if (config.compactionMs !== undefined) {
      const compaction = new Compaction(client, config.compactionMs, log);
      compaction.start();
      undo.push(() => compaction.stop());
    }
    if (copies !== undefined && backups !== undefined) {
      const keeper = new BackupKeeper({
        backups: copies.backups,
        records: store,
        hasBackups: ({ service_id, plan_id }) => backups.coversPlan(service_id, plan_id),
        graceMs: backups.parts.graceMs,
        log,
        observe: (outcome) => metrics.backup(outcome),
      });
      keeper.start();
      undo.push(() => keeper.stop());
    }
    if (service.names === 'portal') {
      const folding = new Folding(client, log);
      folding.start();
      undo.push(() => folding.stop());
    }
    const scaler = new Scaler({
      broker,
      catalog,
      instances: (onMalformed) => store.instances(onMalformed),
      observe: () => metrics.scaled(),
    });
    scaler.start();
    undo.push(() => scaler.stop());
    const expirer = new Expirer(broker);
    expirer.start();
    undo.push(() => expirer.stop());
    const server = new HttpServer(app, (error) => {
      log.error({ reason: error.message }, 'A client could not be taken');
    });
    const url = await server.listen(config.port, config.host);
    service.publicUrl = config.publicUrl ?? url;
    undo.push(async () => {
      const giveUp = setTimeout(() => client.close(), DRAIN_MS + FAREWELL_MS);
      giveUp.unref();
      const startedAt = performance.now();
      stopping.abort();
      // The requests first: until it is answered, each may still begin an operation.
      const drained = portals?.stop(PORTAL_DRAIN_MS);
      await server.close(DRAIN_MS);
      await drained;
      await tasks.drain(DRAIN_MS - (performance.now() - startedAt));
    });
    const link =
      embedded &&
      signInLink(service.publicUrl, EVERY_DEPLOYMENT, await links.create(EVERY_DEPLOYMENT, 'operator'));
    return {
      url,
      ...(link === undefined ? {} : { dashboardLink: link }),
      publicUrl: service.publicUrl,
      username: access.credentials[0]?.username as string,
      ...(access.keptPassword === undefined ? {} : { keptPassword: access.keptPassword }),
      endpoints: service.endpoints,
      names: service.names,
      ...(portals === undefined ? {} : { portals }),
      stop: () => unwind(undo, log),
    };
  } catch (error) {
    await unwind(undo, log);
    throw error;
  }
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
