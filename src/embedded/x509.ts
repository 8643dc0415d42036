import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/**
 * What a certificate is for: `server` faces clients, `client` signs in to a server, `peer` does both, as members of a
 * cluster do, and `authority` signs others.
 */
export type CertificateUse = 'authority' | 'server' | 'client' | 'peer';

export interface CertificateRequest {
  /** Distinguished name, e.g. `CN=etcd`. */
  subject: string;
  /** The subject's private key, PKCS #8 PEM. */
  keyPem: string;
  use: CertificateUse;
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
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { format: 'pem', type: 'spki' },
    privateKeyEncoding: { format: 'pem', type: 'pkcs8' },
  }).privateKey;
}

/**
 * Makes and signs an X.509 certificate, PEM.
 *
 * @throws Error when a key or the issuer's certificate can't be read
 */
export async function makeCertificate(request: CertificateRequest): Promise<string> {
  // Loaded only when a certificate has to be made: it costs a tenth of a second, which most starts need not spend.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const { KeyUsageFlags, ExtendedKeyUsage } = x509;
  const isAuthority = request.use === 'authority';
  const usages = {
    authority: [],
    server: [ExtendedKeyUsage.serverAuth],
    client: [ExtendedKeyUsage.clientAuth],
    peer: [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth],
  }[request.use];
  const names = (request.hosts ?? []).map((host) => ({
    type: isIP(host) === 0 ? ('dns' as const) : ('ip' as const),
    value: host,
  }));
  const issuer = request.issuer && new x509.X509Certificate(request.issuer.certificatePem);
  const spki = createPublicKey(request.keyPem).export({ format: 'der', type: 'spki' });
  const pkcs8 = createPrivateKey(request.issuer?.keyPem ?? request.keyPem).export({
    format: 'der',
    type: 'pkcs8',
  });
  const publicKey = await webcrypto.subtle.importKey('spki', spki, ALGORITHM, true, ['verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: request.subject,
    issuer: issuer?.subject ?? request.subject,
    notBefore: new Date(request.notBefore),
    notAfter: new Date(request.notAfter),
    signingKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, ALGORITHM, false, ['sign']),
    publicKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(isAuthority, isAuthority ? 0 : undefined, true),
      new x509.KeyUsagesExtension(
        isAuthority ? KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign : KeyUsageFlags.digitalSignature,
        true,
      ),
      ...(usages.length > 0 ? [new x509.ExtendedKeyUsageExtension(usages)] : []),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      ...(issuer ? [await x509.AuthorityKeyIdentifierExtension.create(await issuer.publicKey.export())] : []),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}

// A positive number of 16 bytes: the first bit stays clear and the first byte is not zero.
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
