import { HttpError } from './errors.js';

/** Who asked the platform for a request (specification: "Originating Identity"). */
export interface OriginatingIdentity {
  platform: string;
  value: { [name: string]: unknown };
}

const HEADER = 'X-Broker-API-Originating-Identity';

/**
 * Decodes `X-Broker-API-Originating-Identity`: a platform, a space, and an object in JSON in base64.
 * @throws HttpError 400 when it is malformed
 */
export function parseOriginatingIdentity(header: string | undefined): OriginatingIdentity | undefined {
  if (header === undefined) {
    return undefined;
  }
  const [, platform, encoded] = /^(\S+) +([A-Za-z0-9+/_-]+={0,2})$/.exec(header) ?? [];
  if (platform !== undefined && encoded !== undefined) {
    const value = parseObject(Buffer.from(encoded, 'base64').toString('utf8'));
    if (value !== undefined) {
      return { platform, value };
    }
  }
  throw new HttpError(400, `The header ${HEADER} must be a platform, a space and a JSON object in base64.`);
}

function parseObject(text: string): { [name: string]: unknown } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // the caller says what is wrong with the header
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as { [name: string]: unknown })
    : undefined;
}
