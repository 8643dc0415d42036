import { createPrivateKey, createPublicKey, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface CertificateRequest {
  /** Distinguished name, e.g. `CN=etcd`. */
  subject: string;
  /** The subject's private key, PKCS #8 PEM. */
  keyPem: string;
  use: 'authority' | 'server' | 'peer';
  /** Host names and IP addresses of the subject. */
  hosts?: readonly string[];
  /** Milliseconds since 1970. */
  notBefore: number;
  /** Milliseconds since 1970. */
  notAfter: number;
  /** Who signs; the subject itself where not given. */
  issuer?: { certificatePem: string; keyPem: string };
}

/** Makes an ECDSA P-256 private key, PKCS #8 PEM. */
export async function makeKey(): Promise<string> {
  const pair = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', pair.privateKey));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ format: 'pem', type: 'pkcs8' })
    .toString();
}

/**
 * Makes and signs an X.509 certificate, PEM.
 *
 * @throws Error when a key or the issuer's certificate can't be read
 */
export async function makeCertificate(request: CertificateRequest): Promise<string> {
  const x509 = await load();
  const issuerCertificate = request.issuer && new x509.X509Certificate(request.issuer.certificatePem);
  const publicKey = await importPublicKey(request.keyPem);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: request.subject,
    issuer: issuerCertificate?.subject ?? request.subject,
    notBefore: new Date(request.notBefore),
    notAfter: new Date(request.notAfter),
    signingKey: await importPrivateKey(request.issuer?.keyPem ?? request.keyPem),
    publicKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      ...usages(x509, request),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      ...(issuerCertificate
        ? [await x509.AuthorityKeyIdentifierExtension.create(await issuerCertificate.publicKey.export())]
        : []),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}

type X509 = typeof import('@peculiar/x509');

// Loaded only when a certificate has to be made: it costs a tenth of a second, which most starts need not spend.
async function load(): Promise<X509> {
  await import('reflect-metadata');
  return await import('@peculiar/x509');
}

function usages(x509: X509, request: CertificateRequest) {
  const { KeyUsageFlags, ExtendedKeyUsage } = x509;
  if (request.use === 'authority') {
    return [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ];
  }
  const extended = [ExtendedKeyUsage.serverAuth];
  if (request.use === 'peer') {
    extended.push(ExtendedKeyUsage.clientAuth);
  }
  const names = (request.hosts ?? []).map((host) => ({
    type: isIP(host) === 0 ? ('dns' as const) : ('ip' as const),
    value: host,
  }));
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension(extended),
    new x509.SubjectAlternativeNameExtension(names),
  ];
}

// A positive number of 16 bytes: the first bit stays clear and the first byte is not zero.
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function importPrivateKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ format: 'der', type: 'pkcs8' });
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
}

function importPublicKey(privateKeyPem: string): Promise<webcrypto.CryptoKey> {
  const der = createPublicKey(privateKeyPem).export({ format: 'der', type: 'spki' });
  return webcrypto.subtle.importKey('spki', der, ALGORITHM, true, ['verify']);
}
