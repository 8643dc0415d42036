/** The entry of a worker thread that runs one portal. It loads everything, waits for its job, and serves. */

import { parentPort } from 'node:worker_threads';
import { Sealer } from '../credentials/seal.js';
import { Secret } from '../credentials/secret.js';
import { openLog } from '../observability/log.js';
import { BEAT_MS } from './heartbeat.js';
import { quotaOf } from './quotas.js';
import { type RunningPortal, startPortal } from './start.js';
import { certificateFiles, fixedCertificate } from './tls.js';
import { BEATS, type FromWorker, type PortalJob, type ToWorker, WAITING } from './worker-job.js';

const port = parentPort;
if (port === null) {
  throw new Error('This module runs in a worker thread');
}
const tell = (message: FromWorker) => port.postMessage(message);

let running: Promise<RunningPortal> | undefined;

port.on('message', (message: ToWorker) => {
  if ('job' in message) {
    const counts = new Int32Array(message.counts);
    running = run(message.job, counts);
    setInterval(() => Atomics.add(counts, BEATS, 1), BEAT_MS);
    running.then(
      ({ port: listensOn }) => tell({ listensOn }),
      (error: Error) => {
        tell({ failure: error.message });
        process.exit(1);
      },
    );
  } else if ('tell' in message) {
    void running?.then((portal) => tell({ told: portal.snapshot() }));
  } else {
    // Errors of the end are the thread's own, and end it too.
    void running?.then((portal) => portal.drain(message.drainMs)).finally(() => process.exit(0));
  }
});

async function run(job: PortalJob, counts: Int32Array): Promise<RunningPortal> {
  const { cluster, certificate, quotas, defaultQuota } = job;
  const { password, clientKey, ...address } = cluster;
  const quotaByPlan = new Map(quotas);
  return startPortal({
    cluster: {
      ...address,
      password: new Secret(password),
      ...(clientKey === undefined ? {} : { clientKey: new Secret(clientKey) }),
    },
    seals: new Sealer(job.encryptionKeys.map(({ id, key }) => ({ id, key: new Secret(key) }))),
    endpoints: job.endpoints,
    self: job.self,
    quotaOf: (instance) => quotaOf(quotaByPlan, instance, defaultQuota),
    defaultQuota,
    ...(job.host === undefined ? {} : { host: job.host }),
    port: job.port,
    proxyProtocol: job.proxyProtocol,
    certificate:
      certificate.kind === 'files'
        ? certificateFiles(certificate.certFile, certificate.keyFile)
        : fixedCertificate(certificate),
    log: openLog(job.logLevel, { write: (line: string) => writeLine(line, counts, job.mostWaiting) }),
  });
}

/** The log is the broker's. While that does not read, later lines are dropped: the portal serves on. */
function writeLine(line: string, counts: Int32Array, mostWaiting: number): void {
  if (Atomics.load(counts, WAITING) < mostWaiting) {
    Atomics.add(counts, WAITING, 1);
    tell({ line });
  }
}
