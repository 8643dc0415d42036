import { Sealer } from '../../src/credentials/seal.js';
import { Secret } from '../../src/credentials/secret.js';
import { presentEncryptionKey } from '../../src/embedded/kept-secrets.js';
import { runningEmbeddedCluster } from '../../src/embedded/running.js';
import { openLog } from '../../src/observability/log.js';
import { PORTAL_USER } from '../../src/portal/access.js';
import { startPortal } from '../../src/portal/start.js';
import { certificateFiles } from '../../src/portal/tls.js';
import { answerWith } from './peer.js';

const QUOTA = 1 << 30;

export interface PortalSettings {
  /** The broker's. */
  readonly dataDir: string;
  /** Of the portals' etcd user. */
  readonly password: string;
  /** A PEM file with the certificate and its key. */
  readonly certificate: string;
  readonly port: number;
}

/** A portal in a process of its own, as an operator runs it. */
async function start({ dataDir, password, certificate, port }: PortalSettings): Promise<void> {
  const key = await presentEncryptionKey(dataDir);
  if (key === undefined) {
    throw new Error(`${dataDir} holds no encryption key`);
  }
  await startPortal({
    cluster: {
      ...(await runningEmbeddedCluster(dataDir)),
      username: PORTAL_USER,
      password: new Secret(password),
    },
    seals: new Sealer([key]),
    host: '127.0.0.1',
    port,
    endpoints: [`https://127.0.0.1:${port}`],
    certificate: certificateFiles(certificate, certificate),
    quotaOf: () => QUOTA,
    defaultQuota: QUOTA,
    log: openLog('warn', { write: (line: string) => console.error(line.trimEnd()) }),
  });
}

answerWith({ start });
