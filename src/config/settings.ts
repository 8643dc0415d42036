import { isIP } from 'node:net';
import { Ajv } from 'ajv';
import type { Problems } from './error.js';

/** The levels of the log, from the most to the least talkative. */
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The environment variables that the broker knows, each of the type that it stands for. */
export interface Settings {
  PORT: number;
  HOST?: string;
  PUBLIC_URL?: string;
  REGION: string;
  TRUST_PROXY?: string;
  LOG_LEVEL: LogLevel;
  CATALOG?: string;
  DATA_DIR: string;
  BROKER_USERNAME?: string;
  BROKER_PASSWORD?: string;
  BROKER_PREVIOUS_USERNAME?: string;
  BROKER_PREVIOUS_PASSWORD?: string;
  BROKER_ENCRYPTION_KEY?: string;
  EMBEDDED_MEMBERS: number;
  ETCD_BINARY?: string;
  ETCD_ENDPOINTS?: string;
  ETCD_ADVERTISED_ENDPOINTS?: string;
  ETCD_USERNAME?: string;
  ETCD_PASSWORD?: string;
  ETCD_CA_CERT?: string;
  ETCD_CLIENT_CERT?: string;
  ETCD_CLIENT_KEY?: string;
  ETCD_ENABLE_AUTH: boolean;
  ETCD_ALLOW_PLAINTEXT: boolean;
  ETCD_COMPACTION?: string;
  PORTAL?: 'on' | 'off';
  PORTAL_ENDPOINTS?: string;
  PORTAL_LISTEN?: string;
  PORTAL_TLS_CERT?: string;
  PORTAL_TLS_KEY?: string;
  PORTAL_CA_CERT?: string;
  PORTAL_PROXY_PROTOCOL: boolean;
  PORTAL_ETCD_USERNAME?: string;
  PORTAL_ETCD_PASSWORD?: string;
  PORTAL_HEALTH_PORT?: number;
  BACKUPS?: 'on' | 'off';
  BACKUP_DIR?: string;
  BACKUP_S3_URL?: string;
  BACKUP_S3_STYLE?: 'path' | 'virtual-host';
  BACKUP_S3_REGION?: string;
  BACKUP_S3_ACCESS_KEY_ID?: string;
  BACKUP_S3_SECRET_ACCESS_KEY?: string;
  BACKUP_GRACE?: string;
  BACKUP_RESTORE_ACROSS?: 'space' | 'organization' | 'all';
  DASHBOARD_CLIENT_ID?: string;
  DASHBOARD_CLIENT_SECRET?: string;
  CF_API_URL?: string;
  CF_API_CA_CERT?: string;
}

const text = { type: 'string' };
const flag = { type: 'boolean', default: false, description: 'be true or false' };
const userName = {
  type: 'string',
  pattern: '^[^:\\p{Cc}]+$', // RFC 7617, section 2: the first colon ends the user name
  description: 'not contain ":" or a control character',
};
// A line break in a secret is nearly always an accident of copying.
const secret = {
  type: 'string',
  pattern: '^\\P{Cc}*$',
  writeOnly: true,
  description: 'not contain a line break or another control character',
};
const password = {
  ...secret,
  minLength: 12,
  description: 'have at least 12 characters, and no line break or other control character',
};

/** `description` ends the sentence "<variable> must …"; what is `writeOnly` is never repeated in a message. */
const SCHEMA = {
  type: 'object',
  properties: {
    PORT: {
      type: 'integer',
      minimum: 0,
      maximum: 65_535,
      default: 8080,
      description: 'be a whole number from 0 to 65535',
    },
    HOST: {
      type: 'string',
      pattern: '^[A-Za-z0-9.:_-]{1,253}$',
      description: 'be a host name or an IP address, such as 127.0.0.1 or 0.0.0.0',
    },
    PUBLIC_URL: {
      type: 'string',
      format: 'public-url',
      writeOnly: true, // it may hold a password by mistake
      description:
        'be an http:// or https:// URL such as https://broker.example.com, without a user name, "?" or "#"',
    },
    REGION: {
      type: 'string',
      pattern: '^[a-z0-9-]{1,40}$',
      default: 'local',
      description: 'have lower-case letters, digits and "-" only, at most 40',
    },
    TRUST_PROXY: {
      type: 'string',
      format: 'proxies',
      description:
        'be a number of proxies from 0 to 20, or a list of addresses and networks such as loopback,10.0.0.0/8',
    },
    LOG_LEVEL: { enum: LOG_LEVELS, default: 'info', description: `be one of ${LOG_LEVELS.join(', ')}` },
    CATALOG: text,
    DATA_DIR: { ...text, default: 'data' },
    BROKER_USERNAME: userName,
    BROKER_PASSWORD: password,
    BROKER_PREVIOUS_USERNAME: userName,
    BROKER_PREVIOUS_PASSWORD: password,
    BROKER_ENCRYPTION_KEY: secret,
    EMBEDDED_MEMBERS: {
      type: 'integer',
      enum: [1, 3, 5],
      default: 1,
      description: 'be 1, 3 or 5: an even number of members survives no more failures',
    },
    ETCD_BINARY: text,
    ETCD_ENDPOINTS: text,
    ETCD_ADVERTISED_ENDPOINTS: text,
    ETCD_USERNAME: text,
    ETCD_PASSWORD: secret,
    ETCD_CA_CERT: text,
    ETCD_CLIENT_CERT: text,
    ETCD_CLIENT_KEY: text,
    ETCD_ENABLE_AUTH: flag,
    ETCD_ALLOW_PLAINTEXT: flag,
    ETCD_COMPACTION: {
      type: 'string',
      pattern: '^(off|[1-9][0-9]{0,5}[smhd])$',
      description: 'be a whole number and s, m, h or d, such as 1h, or off',
    },
    PORTAL: { enum: ['on', 'off'], description: 'be on or off' },
    PORTAL_ENDPOINTS: text,
    PORTAL_LISTEN: text,
    PORTAL_TLS_CERT: text,
    PORTAL_TLS_KEY: text,
    PORTAL_CA_CERT: text,
    PORTAL_PROXY_PROTOCOL: flag,
    PORTAL_ETCD_USERNAME: text,
    PORTAL_ETCD_PASSWORD: secret,
    PORTAL_HEALTH_PORT: {
      type: 'integer',
      minimum: 1,
      maximum: 65_535,
      description: 'be a whole number from 1 to 65535',
    },
    BACKUPS: { enum: ['on', 'off'], description: 'be on or off' },
    BACKUP_DIR: text,
    BACKUP_S3_URL: {
      type: 'string',
      format: 'public-url',
      writeOnly: true, // it may hold a key by mistake
      description:
        'be an http:// or https:// URL such as https://s3.example.com/bucket, without keys, "?" or "#"',
    },
    BACKUP_S3_STYLE: { enum: ['path', 'virtual-host'], description: 'be path or virtual-host' },
    BACKUP_S3_REGION: {
      type: 'string',
      pattern: '^[A-Za-z0-9-]{1,40}$',
      description: 'be the name of a region, such as eu-central-1',
    },
    BACKUP_S3_ACCESS_KEY_ID: text,
    BACKUP_S3_SECRET_ACCESS_KEY: secret,
    BACKUP_GRACE: {
      type: 'string',
      pattern: '^(off|[1-9][0-9]{0,4}[hd])$',
      description: 'be a whole number and h or d, such as 30d, or off',
    },
    BACKUP_RESTORE_ACROSS: {
      enum: ['space', 'organization', 'all'],
      description: 'be space, organization or all',
    },
    DASHBOARD_CLIENT_ID: {
      type: 'string',
      pattern: '^[A-Za-z0-9._-]{1,200}$',
      description: 'have letters, digits, ".", "_" and "-" only',
    },
    DASHBOARD_CLIENT_SECRET: password,
    CF_API_URL: {
      type: 'string',
      format: 'public-url',
      writeOnly: true, // it may hold a password by mistake
      description:
        'be an http:// or https:// URL such as https://api.example.com, without a user name, "?" or "#"',
    },
    CF_API_CA_CERT: text,
  },
  dependencies: {
    BROKER_USERNAME: ['BROKER_PASSWORD'],
    BROKER_PASSWORD: ['BROKER_USERNAME'],
    BROKER_PREVIOUS_USERNAME: ['BROKER_PREVIOUS_PASSWORD', 'BROKER_USERNAME'],
    BROKER_PREVIOUS_PASSWORD: ['BROKER_PREVIOUS_USERNAME', 'BROKER_PASSWORD'],
    ETCD_USERNAME: ['ETCD_PASSWORD'],
    ETCD_PASSWORD: ['ETCD_USERNAME'],
    ETCD_CLIENT_CERT: ['ETCD_CLIENT_KEY'],
    ETCD_CLIENT_KEY: ['ETCD_CLIENT_CERT'],
    PORTAL_TLS_CERT: ['PORTAL_TLS_KEY'],
    PORTAL_TLS_KEY: ['PORTAL_TLS_CERT'],
    PORTAL_ETCD_USERNAME: ['PORTAL_ETCD_PASSWORD'],
  },
};

const PROPERTIES: Readonly<
  Record<string, { writeOnly?: boolean; enum?: readonly unknown[]; type?: string }>
> = SCHEMA.properties;

const ajv = new Ajv({
  allErrors: true,
  coerceTypes: true,
  useDefaults: true,
  verbose: true,
  strict: false,
});
ajv.addFormat('public-url', (value: string) => publicUrl(value) !== undefined);
ajv.addFormat('proxies', (value: string) => proxies(value) !== undefined);
const validate = ajv.compile<Settings>(SCHEMA);

/**
 * Reads the variables that the broker knows. Blank ones count as not set, others are ignored.
 *
 * @param problems gets every mistake; a variable that has one is then as if it were not set
 */
export function readSettings(env: NodeJS.ProcessEnv, problems: Problems): Settings {
  const values = Object.fromEntries(
    Object.entries(PROPERTIES).flatMap(([name, { writeOnly, enum: words, type }]) => {
      const value = env[name] ?? '';
      // Secrets are taken exactly as they are written; words may be in any case.
      const trimmed = writeOnly ? value : value.trim();
      return trimmed === ''
        ? []
        : [[name, words || type === 'boolean' ? trimmed.toLowerCase() : trimmed] as const];
    }),
  );
  const written = { ...values };
  if (!validate(values)) {
    for (const { keyword, instancePath, params, parentSchema } of validate.errors ?? []) {
      if (keyword === 'dependencies') {
        problems.add(`${params.missingProperty} is not set but ${params.property} is; set both or neither.`);
        continue;
      }
      const name = instancePath.slice(1);
      const shown = PROPERTIES[name]?.writeOnly ? '' : `, not ${quote(written[name] ?? '')}`;
      problems.add(`${name} must ${parentSchema?.description}${shown}.`);
      delete values[name];
    }
  }
  return values as unknown as Settings;
}

/** Where browsers reach the broker, without a trailing slash; undefined when it is no such URL. */
export function publicUrl(value: string): string | undefined {
  const url = URL.canParse(value.trim()) ? new URL(value.trim()) : undefined;
  const isBare = url && /^https?:$/.test(url.protocol) && !url.username && !url.password;
  return isBare && !url.search && !url.hash ? url.href.replace(/\/{1,100}$/, '') : undefined;
}

/**
 * Which proxies may say who the client is: how many of them stand in front, or their addresses and networks.
 * undefined when the text is neither.
 */
export function proxies(value: string): number | string[] | undefined {
  if (/^[0-9]{1,2}$/.test(value)) {
    return Number(value) <= 20 ? Number(value) : undefined;
  }
  const entries = value.split(',').map((entry) => entry.trim());
  return entries.every((entry) => /^(loopback|linklocal|uniquelocal)$/.test(entry) || isNetwork(entry))
    ? entries
    : undefined;
}

function isNetwork(entry: string): boolean {
  const [address = '', length, ...rest] = entry.split('/');
  const bits = { 4: 32, 6: 128 }[isIP(address)];
  const isLength = length === undefined || (/^[0-9]{1,3}$/.test(length) && Number(length) <= (bits ?? 0));
  return bits !== undefined && isLength && rest.length === 0;
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** The milliseconds of a duration such as `1h`, whose form has been checked; undefined for `off`. */
export function duration(value: string): number | undefined {
  return value === 'off' ? undefined : Number.parseInt(value, 10) * (UNITS[value.slice(-1)] ?? 0);
}

/** A harmless value as it appears in a message: quoted, on one line, and short. */
export function quote(value: string): string {
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
}
