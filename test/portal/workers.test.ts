import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { openLog } from '../../src/observability/log.js';
import type { PortalJob } from '../../src/portal/worker-job.js';
import { PortalWorker } from '../../src/portal/workers.js';
import { until } from './support/portal.js';

/** Listens and beats; the first one then blocks its loop for ever. */
const THREAD = `
  import { existsSync, writeFileSync } from 'node:fs';
  import { parentPort } from 'node:worker_threads';
  parentPort.on('message', (message) => {
    if (message.job === undefined) {
      process.exit(0);
    }
    const counts = new Int32Array(message.counts);
    setInterval(() => Atomics.add(counts, 1, 1), 5);
    parentPort.postMessage({ listensOn: 1 });
    const { certFile } = message.job.certificate;
    if (!existsSync(certFile)) {
      writeFileSync(certFile, '');
      setTimeout(() => { for (;;) {} }, 50);
    }
  });
`;

describe('The thread of a portal', () => {
  it('is ended and started again when its loop hangs', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-portal-'));
    const lines: string[] = [];
    const log = openLog('info', { write: (line: string) => lines.push(line) });
    const entry = path.join(folder, 'thread.mjs');
    await writeFile(entry, THREAD);
    const worker = new PortalWorker('portal-1', log, { entry: pathToFileURL(entry), beatMs: 50 });
    try {
      const certificate = { kind: 'files', certFile: path.join(folder, 'hung'), keyFile: '' } as const;
      await worker.start({ certificate } as PortalJob);
      await until(() => lines.some((line) => line.includes('The portal serves again')), 10_000);
      assert.ok(lines.some((line) => line.includes('A portal hangs; it is ended')));
      const hangs = lines.length;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      assert.equal(lines.length, hangs, lines.join(''));
    } finally {
      await worker.stop(100);
      await rm(folder, { recursive: true, force: true });
    }
  });
});
