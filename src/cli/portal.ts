import { createServer, type Server } from 'node:http';
import { loadCatalog } from '../catalog/catalog.js';
import { type ExternalCluster, type PortalSettings, readConfig } from '../config/config.js';
import { Sealer } from '../credentials/seal.js';
import { type ClusterAddress, EtcdClient } from '../etcd/client.js';
import { EtcdError, isEtcdError } from '../etcd/errors.js';
import { openLog } from '../observability/log.js';
import { sharedAuthority } from '../portal/authority.js';
import { portalMetrics } from '../portal/metrics/prometheus.js';
import { PortalRecords } from '../portal/portal-records.js';
import { DEFAULT_QUOTA, quotaOf, quotasOf } from '../portal/quotas.js';
import { type RunningPortal, startPortal } from '../portal/start.js';
import {
  type CertificateSource,
  certificateFiles,
  fixedCertificate,
  hostsOf,
  issuedCertificate,
} from '../portal/tls.js';
import { stopOnSignals } from '../signals.js';

/** Cloud Foundry kills an application after 10 s, in milliseconds. */
const DRAIN_MS = 8_000;
const DEFAULT_PORT = 2379;

/**
 * `portal`: runs one portal before a cluster of the operator's, until a signal ends it.
 * @throws ConfigError or another Error with lines for the operator
 */
export async function runPortal(env: NodeJS.ProcessEnv, say: (line: string) => void): Promise<void> {
  const config = readConfig(env, 'portal');
  const { portal: settings, cluster } = config;
  if (settings === undefined || cluster.kind !== 'external') {
    throw new Error('The settings of a portal were not checked');
  }
  const log = openLog(config.logLevel);
  const quotas = quotasOf(loadCatalog(config.catalogPath));
  const seals = new Sealer(config.encryptionKeys);
  const address = portalsAddress(cluster, settings);
  const [listen = { port: DEFAULT_PORT }] = settings.listen;
  const self = selfOf(settings.endpoints, listen.port);
  const name = `portal-${self + 1}`;
  let running: RunningPortal;
  try {
    running = await startPortal({
      cluster: address,
      seals,
      endpoints: settings.endpoints,
      self,
      quotaOf: (instance) => quotaOf(quotas, instance),
      defaultQuota: DEFAULT_QUOTA,
      ...(listen.host === undefined ? {} : { host: listen.host }),
      port: listen.port,
      certificate: await certificateSource(settings, address, seals),
      proxyProtocol: settings.proxyProtocol,
      log: log.child({ portal: name }),
    });
  } catch (error) {
    throw explained(error);
  }
  const health = await serveHealth(settings.healthPort, name, running);
  say(`The portal listens at port ${running.port}; credentials name ${settings.endpoints.join(', ')}`);
  stopOnSignals(log, async () => {
    health?.close();
    await running.drain(DRAIN_MS);
  });
}

/** The broker's way to the cluster with the portals' own user. */
function portalsAddress(cluster: ExternalCluster, { login }: PortalSettings): ClusterAddress {
  const { endpoints, caCertificate, clientCertificate, clientKey } = cluster;
  return { endpoints, caCertificate, clientCertificate, clientKey, ...login };
}

async function certificateSource(
  { certificate, endpoints }: PortalSettings,
  address: ClusterAddress,
  seals: Sealer,
): Promise<CertificateSource> {
  switch (certificate?.kind) {
    case 'files':
      return certificateFiles(certificate.certFile, certificate.keyFile);
    case 'fixed':
      return fixedCertificate({ cert: certificate.cert, key: certificate.key.reveal() });
    case undefined: {
      const client = new EtcdClient(address);
      try {
        const authority = await sharedAuthority(new PortalRecords(client), seals);
        return issuedCertificate(authority, hostsOf(endpoints));
      } finally {
        client.close();
      }
    }
  }
}

/** Which of the endpoints a portal is, by its port; the first where that does not tell. */
function selfOf(endpoints: readonly string[], port: number): number {
  const same = endpoints.flatMap((endpoint, index) => (endpoint.endsWith(`:${port}`) ? [index] : []));
  return same.length === 1 ? (same[0] as number) : 0;
}

function explained(error: unknown): unknown {
  if (isEtcdError(error, 'wrong-password') || isEtcdError(error, 'denied')) {
    return new Error(
      'The etcd cluster refuses the portals\' user. Run "compose-etcd-broker portal-access" with the broker\'s settings, and set PORTAL_ETCD_USERNAME and PORTAL_ETCD_PASSWORD to what it prints.',
    );
  }
  if (error instanceof EtcdError && (error.kind === 'unavailable' || error.kind === 'timeout')) {
    return new Error(
      `The etcd cluster does not answer (${error.message}). Check ETCD_ENDPOINTS, ETCD_CA_CERT and the network.`,
    );
  }
  return error;
}

/** `/health` for a platform: 200 while the portal knows the bindings; `/metrics` for Prometheus. */
async function serveHealth(
  port: number | undefined,
  name: string,
  running: RunningPortal,
): Promise<Server | undefined> {
  if (port === undefined) {
    return undefined;
  }
  const server = createServer({ requestTimeout: 5_000, maxHeaderSize: 8_192 }, (request, response) => {
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (request.url === '/metrics' && isRead) {
      portalMetrics([{ name, snapshot: running.snapshot() }]).then(
        (text) => {
          response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
          response.end(text);
        },
        (error: Error) => response.destroy(error),
      );
      return;
    }
    const isHere = request.url === '/health' && isRead;
    const isWell = running.portal.directory.isWhole;
    response.writeHead(isHere ? (isWell ? 200 : 503) : 404, { 'content-type': 'application/json' });
    response.end(isHere ? `{"status":"${isWell ? 'ok' : 'starting'}"}\n` : '{}\n');
  });
  server.maxConnections = 100;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, () => resolve());
  });
  return server;
}
