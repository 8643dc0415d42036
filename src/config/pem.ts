import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ConfigError } from './error.js';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const FORMS = 'PEM text, base64 of it, or the path of a PEM file';

/**
 * The PEM text that a setting means: written out (line breaks also as the two characters `\n`), in base64, or in
 * a file. No message repeats the value, since it may be a key.
 * @throws ConfigError when it is none of them
 */
function pemText(value: string, where: string): string {
  const inline = asPem(value) ?? asPem(Buffer.from(value, 'base64').toString('utf8'));
  if (inline !== undefined) {
    return inline;
  }
  let content: string;
  try {
    content = readFileSync(value, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      `${where} must be ${FORMS}; no file can be read there (${code ?? 'unknown error'}).`,
    );
  }
  const pem = asPem(content);
  if (pem === undefined) {
    throw new ConfigError(`${where} must be ${FORMS}; the file that it names holds no PEM.`);
  }
  return pem;
}

function asPem(candidate: string): string | undefined {
  return candidate.includes('-----BEGIN ')
    ? candidate.replaceAll('\\r', '').replaceAll('\\n', '\n').trim().concat('\n')
    : undefined;
}

/** The absolute path of the file that a setting names; undefined when it is the PEM itself. */
export function pemFile(value: string): string | undefined {
  const isInline = (asPem(value) ?? asPem(Buffer.from(value, 'base64').toString('utf8'))) !== undefined;
  return !isInline && existsSync(value) ? path.resolve(value) : undefined;
}

/**
 * Certificates in PEM, one or several, each of which can be read.
 * @throws ConfigError when there is none, or one is damaged
 */
export function readCertificates(value: string, where: string): string {
  const blocks = pemText(value, where).match(CERTIFICATE) ?? [];
  if (blocks.length === 0) {
    throw new ConfigError(`${where} holds no certificate; it must contain "-----BEGIN CERTIFICATE-----".`);
  }
  for (const [index, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch {
      // OpenSSL's reason ("asn1 encoding routines…") does not help to find what to do.
      throw new ConfigError(`${where}: certificate ${index + 1} is damaged; copy the PEM again, whole.`);
    }
  }
  return `${blocks.join('\n')}\n`;
}

/**
 * The private key, in PEM, that belongs to the first of some certificates.
 * @throws ConfigError when it can't be read, is encrypted, or belongs to another certificate
 */
export function readPrivateKey(value: string, where: string, certificates: string): string {
  const pem = pemText(value, where);
  if (/ENCRYPTED/.test(pem)) {
    throw new ConfigError(`${where} is protected by a passphrase; remove it with "openssl pkey".`);
  }
  let key: ReturnType<typeof createPrivateKey>;
  try {
    key = createPrivateKey(pem);
  } catch {
    // The reason is left out as above; here it could also quote the key.
    throw new ConfigError(`${where} holds no private key that can be read; copy the PEM again, whole.`);
  }
  if (!new X509Certificate(certificates).checkPrivateKey(key)) {
    throw new ConfigError(
      `${where} does not belong to the certificate; set the two that were made together.`,
    );
  }
  return pem;
}
