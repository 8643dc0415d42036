import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import type cfenv from 'cfenv';
import { ConfigError } from './error.js';

/** A service bound to the broker, as `VCAP_SERVICES` describes it. */
export interface BoundService {
  name: string;
  label: string;
  tags: readonly string[];
  credentials: Readonly<Record<string, unknown>>;
}

/** What Cloud Foundry says about the application that the broker is. */
export interface CloudFoundry {
  /** Whether the broker runs as an application of Cloud Foundry. */
  isApplication: boolean;
  /** The `https://` address of the application's first route. */
  url?: string | undefined;
  /** The address of its Cloud Controller. */
  api?: string | undefined;
  services: readonly BoundService[];
}

/**
 * Reads `VCAP_APPLICATION` and `VCAP_SERVICES` through cfenv.
 * @throws ConfigError when one of them is not a JSON object of the expected form
 */
export function readCloudFoundry(env: NodeJS.ProcessEnv): CloudFoundry {
  // cfenv prints a value that is not JSON, with the passwords in it, so it is checked first.
  const vcap = Object.fromEntries(
    ['VCAP_APPLICATION', 'VCAP_SERVICES'].flatMap((name) => {
      const value = env[name]?.trim();
      return value ? [[name, assertJsonObject(name, value)]] : [];
    }),
  );
  if (Object.keys(vcap).length === 0) {
    return { isApplication: false, services: [] };
  }
  const { app, isLocal, url, services } = appEnvOf(vcap);
  return {
    isApplication: !isLocal,
    url: Array.isArray(app.uris) && app.uris.length > 0 && !isLocal ? url : undefined,
    api: typeof app.cf_api === 'string' && !isLocal ? app.cf_api : undefined,
    services: Object.entries(services).flatMap(([label, list]) => {
      if (!Array.isArray(list)) {
        throw new ConfigError('VCAP_SERVICES must hold an array for each label, as Cloud Foundry sets it.');
      }
      return list.map((service: unknown) => boundService(label, service));
    }),
  };
}

/** cfenv reads nothing but `process.env`; the settings can come from elsewhere (in tests they do). */
function appEnvOf(vcap: NodeJS.ProcessEnv): cfenv.AppEnv {
  const before = process.env;
  // Without a port or a name cfenv would look for them in files, and one of its libraries needs HOME.
  process.env = { HOME: tmpdir(), PORT: '1', ...vcap };
  try {
    return (createRequire(import.meta.url)('cfenv') as typeof cfenv).getAppEnv({ name: 'broker' });
  } finally {
    process.env = before;
  }
}

function assertJsonObject(name: string, value: string): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    parsed = undefined; // the parser's message quotes the value, which holds passwords
  }
  if (!isObject(parsed)) {
    throw new ConfigError(`${name} must be a JSON object, as Cloud Foundry sets it; correct it or unset it.`);
  }
  return value;
}

function boundService(label: string, service: unknown): BoundService {
  const { name, tags, credentials } = isObject(service) ? service : {};
  return {
    name: typeof name === 'string' ? name : label,
    label,
    tags: Array.isArray(tags) ? tags.filter((tag) => typeof tag === 'string') : [],
    credentials: isObject(credentials) ? credentials : {},
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
