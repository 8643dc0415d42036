import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { readIfPresent, writeDurably } from './durable-file.js';
import { makeCertificate, makeKey } from './x509.js';

const DAY_MS = 24 * 60 * 60 * 1000;
const AUTHORITY_DAYS = 3650;
const LEAF_DAYS = 365;
const RENEW_BEFORE_DAYS = 30;
const LOOPBACK_HOSTS = ['localhost', '127.0.0.1', '::1'];

/** What a certificate is for: `server` faces clients, `peer` is used by cluster members in both directions. */
export type CertificateUse = 'server' | 'peer';

export interface CertificateOptions {
  /** The folder that keeps the authority and the certificates; made with mode 0700. */
  folder: string;
  /** Names and addresses that server certificates carry besides localhost, 127.0.0.1 and ::1. */
  hosts?: readonly string[];
  /** The present time in milliseconds since 1970; given by tests. */
  now?: () => number;
}

export interface Certificates {
  /** The authority's certificate, PEM: what clients have to trust. */
  readonly caCertificate: string;
  /** Path of the authority's certificate. */
  readonly caFile: string;
  /** Paths of PEM files that each hold a certificate and, after it, its private key. */
  readonly files: Readonly<Record<CertificateUse, string>>;
  /**
   * Makes anew what is missing, damaged, issued for other hosts or by another authority, or expires within 30 days.
   * etcd reads the files at every handshake, so nothing has to be restarted.
   *
   * @returns which were made anew
   */
  renewIfNeeded(): Promise<CertificateUse[]>;
}

/**
 * Opens the certificate authority in a folder, making it the first time, and brings its certificates up to date.
 *
 * An existing authority is never replaced: tenants hold its certificate.
 *
 * @throws Error with one line when the folder's authority is damaged or has expired
 */
export async function openCertificates(options: CertificateOptions): Promise<Certificates> {
  const { folder } = options;
  const now = options.now ?? Date.now;
  const hosts = [...new Set([...LOOPBACK_HOSTS, ...(options.hosts ?? [])])];
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  const authority = await openAuthority(folder, now);
  const files = { server: path.join(folder, 'server.pem'), peer: path.join(folder, 'peer.pem') };

  async function renewIfNeeded(): Promise<CertificateUse[]> {
    const renewed: CertificateUse[] = [];
    for (const use of ['server', 'peer'] as const) {
      const present = await readIfPresent(files[use]);
      if (present === undefined || !isGood(present, authority.certificate, hosts, now())) {
        // Certificate and key share one file: no crash can leave a pair that does not match.
        await writeDurably(files[use], await issue(authority, use, hosts, now(), present), 0o600);
        renewed.push(use);
      }
    }
    return renewed;
  }

  await renewIfNeeded();
  return { caCertificate: authority.pem, caFile: authority.file, files, renewIfNeeded };
}

interface Authority {
  file: string;
  pem: string;
  keyPem: string;
  certificate: X509Certificate;
}

async function openAuthority(folder: string, now: () => number): Promise<Authority> {
  const file = path.join(folder, 'ca.pem');
  const keyFile = path.join(folder, 'ca-key.pem');
  let pem = await readIfPresent(file);
  let keyPem = await readIfPresent(keyFile);
  const restore = 'restore both files from a backup, or use another DATA_DIR';
  if (pem !== undefined && keyPem === undefined) {
    throw new Error(`The private key ${keyFile} of the certificate authority is missing: ${restore}`);
  }
  if (keyPem === undefined) {
    keyPem = await makeKey();
    await writeDurably(keyFile, keyPem, 0o600);
  }
  if (pem === undefined) {
    // A key without a certificate is what a crash between the two writes leaves; nobody has seen that authority yet.
    pem = await makeAuthorityCertificate(keyPem, now(), keyFile, restore);
    await writeDurably(file, pem, 0o644);
  }
  const certificate = parse(pem);
  if (certificate === undefined || !fits(certificate, keyPem)) {
    throw new Error(
      `The certificate authority is damaged, ${file} and ${keyFile} do not belong together: ${restore}`,
    );
  }
  if (Date.parse(certificate.validTo) <= now()) {
    throw new Error(
      `The certificate authority ${file} expired on ${certificate.validTo}: move ${folder} away, start again and bind every application anew`,
    );
  }
  return { file, pem, keyPem, certificate };
}

async function makeAuthorityCertificate(
  keyPem: string,
  now: number,
  keyFile: string,
  restore: string,
): Promise<string> {
  try {
    return await makeCertificate({
      // A name of its own for each authority, so that a trust store can hold several.
      subject: `CN=compose-etcd-broker CA ${randomBytes(4).toString('hex')}`,
      keyPem,
      use: 'authority',
      notBefore: now - DAY_MS,
      notAfter: now + AUTHORITY_DAYS * DAY_MS,
    });
  } catch (error) {
    throw new Error(`The private key ${keyFile} of the certificate authority is damaged: ${restore}`, {
      cause: error,
    });
  }
}

async function issue(
  authority: Authority,
  use: CertificateUse,
  hosts: readonly string[],
  now: number,
  previous: string | undefined,
): Promise<string> {
  // The key stays where it is sound: etcd reads the file twice, for the certificate and for the key, and may see the
  // old certificate with the new key.
  const keyPem = soundKey(previous ?? '') ?? (await makeKey());
  const certificate = await makeCertificate({
    subject: `CN=${use === 'server' ? 'etcd' : 'etcd-peer'}`,
    keyPem,
    use,
    hosts,
    notBefore: now - DAY_MS, // clocks of clients may be behind
    notAfter: Math.min(now + LEAF_DAYS * DAY_MS, Date.parse(authority.certificate.validTo)),
    issuer: { certificatePem: authority.pem, keyPem: authority.keyPem },
  });
  return `${certificate.trimEnd()}\n${keyPem.trimEnd()}\n`;
}

function isGood(pem: string, ca: X509Certificate, hosts: readonly string[], now: number): boolean {
  const certificate = parse(pem);
  const keyPem = soundKey(pem);
  if (certificate === undefined || keyPem === undefined || !fits(certificate, keyPem)) {
    return false;
  }
  if (!certificate.checkIssued(ca) || !certificate.verify(ca.publicKey)) {
    return false;
  }
  const expiry = Date.parse(certificate.validTo);
  if (now < Date.parse(certificate.validFrom) || expiry <= now) {
    return false;
  }
  // A certificate that already lasts as long as its authority can't get a later end: renewing it would not help.
  if (now >= expiry - RENEW_BEFORE_DAYS * DAY_MS && expiry < Date.parse(ca.validTo)) {
    return false;
  }
  return sameHosts(certificate.subjectAltName ?? '', hosts);
}

function sameHosts(subjectAltName: string, hosts: readonly string[]): boolean {
  const seen = subjectAltName
    .split(', ')
    .filter((entry) => entry !== '')
    .map((entry) => canonicalHost(entry.slice(entry.indexOf(':') + 1)));
  const wanted = hosts.map(canonicalHost);
  return seen.length === wanted.length && wanted.every((host) => seen.includes(host));
}

// OpenSSL writes ::1 as 0:0:0:0:0:0:0:1; a URL's host brings every spelling of an IPv6 address to one form.
function canonicalHost(host: string): string {
  return host.includes(':') ? new URL(`http://[${host}]`).hostname : host.toLowerCase();
}

function parse(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined; // not a certificate: the caller decides what that means
  }
}

function soundKey(pem: string): string | undefined {
  const block = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(pem)?.[0];
  if (block === undefined) {
    return undefined;
  }
  try {
    const key = createPrivateKey(block);
    return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? block : undefined;
  } catch {
    return undefined; // not a key: the caller makes a new one
  }
}

function fits(certificate: X509Certificate, keyPem: string): boolean {
  const key = soundKey(keyPem);
  return key !== undefined && certificate.checkPrivateKey(createPrivateKey(key));
}
