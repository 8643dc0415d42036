import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { chmod, mkdir, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import path from 'node:path';
import { Secret } from '../credentials/secret.js';
import { readIfPresent, writeDurably } from './durable-file.js';
import { type CertificateUse, makeCertificate, makeKey } from './x509.js';

const DAY_MS = 24 * 60 * 60 * 1000;
const AUTHORITY_DAYS = 3650;
const LEAF_DAYS = 365;
const RENEW_BEFORE_DAYS = 30;

export interface LeafRequest {
  /** The certificate is in `<name>.pem`. */
  name: string;
  /** Distinguished name, e.g. `CN=etcd`. */
  subject: string;
  use: Exclude<CertificateUse, 'authority'>;
  /** Host names and IP addresses of the subject; none for a client. */
  hosts: readonly string[];
  /** Lasts as long as its authority: for who reads its file only at a start. */
  isLasting?: boolean;
}

/** A certificate with which etcd lets a client connect, and its key. */
export interface ClientIdentity {
  /** PEM */
  readonly clientCertificate: string;
  /** PEM */
  readonly clientKey: Secret;
}

export interface Certificates {
  /** The authority's certificate, PEM: what clients have to trust. */
  readonly caCertificate: string;
  /** Path of the authority's certificate. */
  readonly caFile: string;
  /** Path of a PEM file that holds a certificate and, after it, its private key. */
  file(name: string): string;
  /**
   * Makes anew what is missing, damaged, of another authority or for other hosts, or expires within 30 days. etcd and
   * portals read the files again, so nothing has to be restarted.
   *
   * @returns the names of those made anew
   */
  renewIfNeeded(): Promise<string[]>;
  /** When each expires, in milliseconds since 1970, by its name; the authority's is `authority`. */
  expiries(): Promise<[certificate: string, expiry: number][]>;
}

/**
 * Opens the certificate authority in a folder, making it the first time, and brings its certificates up to date.
 * An existing authority is never replaced: tenants hold its certificate.
 *
 * @param now the present time in milliseconds since 1970; given by tests
 * @throws Error with one line when the folder's authority is damaged or has expired
 */
export async function openCertificates(
  folder: string,
  leaves: readonly LeafRequest[],
  now: () => number = Date.now,
): Promise<Certificates> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  const authority = await openAuthority(folder, now());
  const file = (name: string) => path.join(folder, `${name}.pem`);

  async function renewIfNeeded(): Promise<string[]> {
    const renewed: string[] = [];
    for (const leaf of leaves) {
      const present = await readIfPresent(file(leaf.name));
      if (present === undefined || !isGood(present, leaf.hosts, authority.certificate, now())) {
        // The key stays where it is sound: etcd reads the file twice, for the certificate and for the key, and may see
        // the old certificate with the new key. One file for both, so that no crash leaves a pair that does not match.
        const keyPem = soundKey(present ?? '') ?? (await makeKey());
        const certificate = await makeCertificate({
          ...leaf,
          keyPem,
          notBefore: now() - DAY_MS, // clocks of clients may be behind
          notAfter: Math.min(
            now() + (leaf.isLasting ? AUTHORITY_DAYS : LEAF_DAYS) * DAY_MS,
            Date.parse(authority.certificate.validTo),
          ),
          issuer: { certificatePem: authority.pem, keyPem: authority.keyPem },
        });
        await writeDurably(file(leaf.name), `${certificate.trimEnd()}\n${keyPem.trimEnd()}\n`, 0o600);
        renewed.push(leaf.name);
      }
    }
    return renewed;
  }

  await renewIfNeeded();
  const expiryOf = async (name: string): Promise<[string, number]> => [
    name,
    Date.parse(new X509Certificate(await readFile(file(name))).validTo),
  ];
  const expiries = async (): Promise<[string, number][]> => [
    ['authority', Date.parse(authority.certificate.validTo)],
    ...(await Promise.all(leaves.map(({ name }) => expiryOf(name)))),
  ];
  return { caCertificate: authority.pem, caFile: authority.file, file, renewIfNeeded, expiries };
}

/** @param file with the certificate and, after it, the key, as {@link openCertificates} writes them */
export async function readIdentity(file: string): Promise<ClientIdentity> {
  const [clientCertificate = '', key = ''] = (await readFile(file, 'utf8')).split(
    /(?=-----BEGIN PRIVATE KEY-----)/,
  );
  return { clientCertificate, clientKey: new Secret(key) };
}

interface Authority {
  file: string;
  pem: string;
  keyPem: string;
  certificate: X509Certificate;
}

async function openAuthority(folder: string, now: number): Promise<Authority> {
  const file = path.join(folder, 'ca.pem');
  const keyFile = path.join(folder, 'ca-key.pem');
  const restore = 'restore both files from a backup, or use another DATA_DIR';
  let pem = await readIfPresent(file);
  let keyPem = await readIfPresent(keyFile);
  if (pem !== undefined && keyPem === undefined) {
    throw new Error(`The private key ${keyFile} of the certificate authority is missing: ${restore}`);
  }
  if (keyPem === undefined) {
    keyPem = await makeKey();
    await writeDurably(keyFile, keyPem, 0o600);
  }
  if (pem === undefined && soundKey(keyPem) !== undefined) {
    // A key without a certificate is what a crash between the two writes leaves; nobody has seen that authority yet.
    pem = await makeCertificate({
      // A name of its own for each authority, so that a trust store can hold several.
      subject: `CN=compose-etcd-broker CA ${randomBytes(4).toString('hex')}`,
      keyPem,
      use: 'authority',
      notBefore: now - DAY_MS,
      notAfter: now + AUTHORITY_DAYS * DAY_MS,
    });
    await writeDurably(file, pem, 0o644);
  }
  const certificate = parse(pem ?? '');
  if (pem === undefined || certificate === undefined || !fits(certificate, keyPem)) {
    throw new Error(
      `The certificate authority is damaged, ${file} and ${keyFile} do not belong together: ${restore}`,
    );
  }
  if (Date.parse(certificate.validTo) <= now) {
    throw new Error(
      `The certificate authority ${file} expired on ${certificate.validTo}: move ${folder} away, start again and bind every application anew`,
    );
  }
  return { file, pem, keyPem, certificate };
}

function isGood(pem: string, hosts: readonly string[], ca: X509Certificate, now: number): boolean {
  const certificate = parse(pem);
  if (certificate === undefined || !fits(certificate, pem)) {
    return false;
  }
  if (!certificate.checkIssued(ca) || !certificate.verify(ca.publicKey)) {
    return false;
  }
  if (!hosts.every((host) => isFor(certificate, host))) {
    return false;
  }
  const [from, expiry] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  // A certificate that lasts as long as its authority can't get a later end: renewing it would not help.
  const isFresh = now < expiry - RENEW_BEFORE_DAYS * DAY_MS || expiry >= Date.parse(ca.validTo);
  return from <= now && now < expiry && isFresh;
}

function isFor(certificate: X509Certificate, host: string): boolean {
  return (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined;
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
  try {
    const curve = block && createPrivateKey(block).asymmetricKeyDetails?.namedCurve;
    return curve === 'prime256v1' ? block : undefined;
  } catch {
    return undefined; // not a key: the caller makes a new one
  }
}

function fits(certificate: X509Certificate, pem: string): boolean {
  const key = soundKey(pem);
  return key !== undefined && certificate.checkPrivateKey(createPrivateKey(key));
}
