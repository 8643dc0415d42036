import { randomBytes } from 'node:crypto';
import { SealError } from '../broker/errors.js';
import { Secret } from '../credentials/secret.js';
import { makeCertificate, makeKey } from '../embedded/x509.js';
import { PORTAL_REGION } from './tenants/directory.js';
import type { SealOpener } from './tenants/records.js';
import type { OnceRecord, Seals } from './tenants/token-key.js';

export const AUTHORITY_KEY = `${PORTAL_REGION}authority`;

const DAY_MS = 24 * 60 * 60 * 1000;
const AUTHORITY_DAYS = 3650;

/** Who vouches for portals that have no certificate of the operator's. */
export interface Authority {
  /** PEM: what clients trust. */
  readonly certificate: string;
  /** PEM, PKCS #8. */
  readonly key: Secret;
}

/** The record: the certificate is public, the key is sealed. */
interface AuthorityRecord {
  schema: 1;
  certificate: string;
  sealed_key: string;
}

/**
 * The authority that all portals and brokers of a cluster share: read from the records, or made once. Those that start
 * at the same moment all get what the first of them wrote.
 * @throws SealError when it was sealed under a key that is not set, or the record is malformed
 */
export async function sharedAuthority(record: OnceRecord, seals: Seals): Promise<Authority> {
  const present = await record.read(AUTHORITY_KEY);
  if (present !== undefined) {
    return openAuthority(present, seals);
  }
  return openAuthority(await record.createIfAbsent(AUTHORITY_KEY, await newAuthority(seals)), seals);
}

function openAuthority(value: Buffer, seals: SealOpener): Authority {
  let parsed: Partial<AuthorityRecord> | undefined;
  try {
    parsed = JSON.parse(value.toString('utf8'));
  } catch {
    parsed = undefined; // the parser's message quotes the text
  }
  const { schema, certificate, sealed_key } = parsed ?? {};
  if (schema !== 1 || typeof certificate !== 'string' || typeof sealed_key !== 'string') {
    throw new SealError(`The record ${AUTHORITY_KEY} of the portals' certificate authority is malformed.`);
  }
  return { certificate, key: seals.open(sealed_key, AUTHORITY_KEY) };
}

async function newAuthority(seals: Seals): Promise<Buffer> {
  const keyPem = await makeKey();
  const certificate = await makeCertificate({
    // A name of its own for each authority, so that a trust store can hold several.
    subject: `CN=compose-etcd-portal CA ${randomBytes(4).toString('hex')}`,
    keyPem,
    use: 'authority',
    notBefore: Date.now() - DAY_MS,
    notAfter: Date.now() + AUTHORITY_DAYS * DAY_MS,
  });
  return sealed({ certificate, key: new Secret(keyPem) }, seals);
}

/** The same authority, its key sealed under the newest encryption key. @throws SealError */
export function resealAuthority(value: Buffer, seals: Seals): Buffer {
  return sealed(openAuthority(value, seals), seals);
}

function sealed({ certificate, key }: Authority, seals: Seals): Buffer {
  const record: AuthorityRecord = { schema: 1, certificate, sealed_key: seals.seal(key, AUTHORITY_KEY) };
  return Buffer.from(JSON.stringify(record), 'utf8');
}
