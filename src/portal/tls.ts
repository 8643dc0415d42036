import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { makeCertificate, makeKey } from '../embedded/x509.js';
import type { Logger } from '../observability/log.js';
import { Periodic } from '../periodic.js';
import type { Authority } from './authority.js';

const DAY_MS = 24 * 60 * 60 * 1000;
const LEAF_DAYS = 90;
const RENEW_BEFORE_DAYS = 30;
const LOOK_EVERY_MS = 10_000;

/** A portal's certificate with its chain, and its private key; both PEM. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

/** Where a portal has its certificate from: asked again and again while it runs. */
export interface CertificateSource {
  /** @throws Error when there is none that can be used at this moment */
  read(): Promise<ServerCertificate>;
}

/** A certificate in files, which whoever renews it replaces; one file may hold both. */
export function certificateFiles(certFile: string, keyFile: string): CertificateSource {
  return {
    read: async () => {
      const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]);
      // Two files can't be replaced in one step: between the two the old key lies beside the new certificate.
      if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
        throw new Error(`The key in ${keyFile} does not belong to the certificate in ${certFile}`);
      }
      return { cert, key };
    },
  };
}

/** A certificate that never changes. */
export function fixedCertificate(certificate: ServerCertificate): CertificateSource {
  return { read: async () => certificate };
}

/**
 * A certificate for some host names that the portal issues to itself, anew 30 days before it expires.
 * @param now the present time in milliseconds since 1970; given by tests
 */
export function issuedCertificate(
  authority: Authority,
  hosts: readonly string[],
  now: () => number = Date.now,
): CertificateSource {
  let issued: ServerCertificate | undefined;
  let renewAt = 0;
  return {
    read: async () => {
      if (issued === undefined || now() >= renewAt) {
        const end = Date.parse(new X509Certificate(authority.certificate).validTo);
        const notAfter = Math.min(now() + LEAF_DAYS * DAY_MS, end);
        const key = await makeKey();
        const cert = await makeCertificate({
          subject: 'CN=compose-etcd-portal',
          keyPem: key,
          use: 'server',
          hosts: [...new Set(hosts)],
          notBefore: now() - DAY_MS, // clocks of clients may be behind
          notAfter,
          issuer: { certificatePem: authority.certificate, keyPem: authority.key.reveal() },
        });
        issued = { cert, key };
        renewAt = notAfter - RENEW_BEFORE_DAYS * DAY_MS;
      }
      return issued;
    },
  };
}

/** The host names of `https://host:port` endpoints, as certificates name them. */
export function hostsOf(endpoints: readonly string[]): string[] {
  return endpoints.map((endpoint) => new URL(endpoint).hostname.replace(/^\[|\]$/g, ''));
}

/**
 * Looks at a source again and again, and hands over what has changed. What can't be used is logged, and the portal goes
 * on with what it has.
 */
export function watchCertificate(
  source: CertificateSource,
  current: ServerCertificate,
  apply: (certificate: ServerCertificate) => void,
  log: Logger,
  everyMs = LOOK_EVERY_MS,
): Periodic {
  let present = current;
  return new Periodic({
    what: "Looking for a renewed certificate of the portal's",
    intervalMs: everyMs,
    longestPauseMs: everyMs,
    run: async () => {
      const next = await source.read();
      if (next.cert !== present.cert || next.key !== present.key) {
        apply(next);
        present = next;
        log.info({ until: new X509Certificate(next.cert).validTo }, "The portal's certificate was renewed");
      }
    },
    log,
  });
}
