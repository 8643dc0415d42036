import { X509Certificate } from 'node:crypto';
import { Listener, type ListenerOptions } from './listener.js';
import type { PortalSnapshot } from './metrics/snapshot.js';
import { Portal, type PortalOptions } from './portal.js';
import { type CertificateSource, watchCertificate } from './tls.js';

export interface StartOptions
  extends PortalOptions,
    Pick<ListenerOptions, 'host' | 'port' | 'proxyProtocol' | 'mostStrangers'> {
  /** Without one, plain HTTP/2. */
  readonly certificate?: CertificateSource;
  /** How often the source is asked, in milliseconds; given by tests. */
  readonly certificateEveryMs?: number;
}

/** A portal that listens. */
export interface RunningPortal {
  readonly portal: Portal;
  readonly port: number;
  /** How many connections there are now. */
  readonly connections: number;
  /** What it tells of itself, for metrics. */
  snapshot(): PortalSnapshot;
  /** Says GOAWAY and lets what runs end, at the latest after so many milliseconds; then closes. */
  drain(timeoutMs: number): Promise<void>;
  /** Closes at once. */
  stop(): Promise<void>;
}

/** In milliseconds since 1970. @param pem a certificate, with or without its chain */
function expiryOf(pem: string | undefined): number | undefined {
  return pem === undefined ? undefined : Date.parse(new X509Certificate(pem).validTo);
}

/**
 * Starts a portal: it listens when it knows the bindings.
 * @throws Error when it can't listen; EtcdError when the cluster can't be reached or refuses the portals' user
 */
export async function startPortal(options: StartOptions): Promise<RunningPortal> {
  const { port, log, certificate, certificateEveryMs } = options;
  const tls = await certificate?.read();
  const portal = await Portal.open(options);
  const listener = new Listener({
    port,
    log,
    ...(options.host === undefined ? {} : { host: options.host }),
    ...(tls === undefined ? {} : { tls }),
    ...(options.mostStrangers === undefined ? {} : { mostStrangers: options.mostStrangers }),
    proxyProtocol: options.proxyProtocol ?? false,
    connected: (connection) => portal.connected(connection),
    clusterState: () => portal.clusterState(),
  });
  const renewal =
    certificate &&
    tls &&
    watchCertificate(certificate, tls, (next) => listener.setCertificate(next), log, certificateEveryMs);
  const stop = async () => {
    await renewal?.stop();
    await listener.close();
    await portal.close();
  };
  try {
    const listensOn = await listener.listen();
    renewal?.start();
    return {
      portal,
      port: listensOn,
      get connections() {
        return listener.connections;
      },
      snapshot: () =>
        portal.snapshot({
          connections: listener.connections,
          certificateExpiry: expiryOf(listener.certificate),
        }),
      drain: async (timeoutMs) => {
        // GOAWAY goes out first, so that no client opens its streams here again.
        const drained = listener.drain(timeoutMs);
        portal.endStreams();
        await drained;
        await stop();
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
