import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import type cfenv from 'cfenv';
import { ConfigError } from './error.js';
import { text } from './settings.js';

/** A service bound to the broker, as `VCAP_SERVICES` tells of it. */
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
  url?: string;
  services: readonly BoundService[];
}

/**
 * Reads `VCAP_APPLICATION` and `VCAP_SERVICES` through cfenv.
 * @throws ConfigError when one of them is not a JSON object of the expected form
 */
export function readCloudFoundry(env: NodeJS.ProcessEnv, port: number): CloudFoundry {
  // cfenv prints a value that is not JSON, with the passwords in it: so that never gets there.
  const application = jsonObject(env, 'VCAP_APPLICATION');
  const services = jsonObject(env, 'VCAP_SERVICES');
  if (application === undefined && services === undefined) {
    return { isApplication: false, services: [] };
  }
  const appEnv = withProcessEnvironment(
    {
      VCAP_APPLICATION: application,
      VCAP_SERVICES: services,
      // Without a port cfenv would take a free one and note it in the home directory.
      PORT: String(port),
      CF_INSTANCE_PORT: undefined,
      VCAP_APP_PORT: undefined,
      // A library of cfenv's can't be loaded without one, and services are started without one.
      HOME: process.env.HOME ?? tmpdir(),
    },
    // Without a name cfenv would look for it in the manifest of the working directory.
    () => loadCfenv().getAppEnv({ name: 'broker' }),
  );
  const hasRoute = Array.isArray(appEnv.app.uris) && appEnv.app.uris.length > 0;
  return {
    isApplication: !appEnv.isLocal,
    ...(hasRoute && !appEnv.isLocal && appEnv.url !== undefined ? { url: appEnv.url } : {}),
    services: Object.entries(appEnv.services).flatMap(([label, list]) => {
      if (!Array.isArray(list)) {
        throw new ConfigError(
          `VCAP_SERVICES must hold an array for each label, as Cloud Foundry sets it; mend it.`,
        );
      }
      return list.map((service: unknown) => boundService(label, service));
    }),
  };
}

/** Loaded only where it is needed, with the environment that it needs. */
function loadCfenv(): typeof cfenv {
  return createRequire(import.meta.url)('cfenv') as typeof cfenv;
}

function jsonObject(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = text(env, name);
  if (value === undefined) {
    return undefined;
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    parsed = undefined; // the parser's message quotes the value, which holds passwords
  }
  if (!isObject(parsed)) {
    throw new ConfigError(`${name} must be a JSON object, as Cloud Foundry sets it; mend or unset it.`);
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

/**
 * Runs `action` while some of the process's own variables have other values, and restores them.
 * cfenv reads nothing but `process.env`, yet the settings can come from elsewhere (in tests they do), and a variable
 * that is set to the empty string counts as not set here but not there. `action` is synchronous: nobody else looks.
 */
function withProcessEnvironment<Result>(
  variables: Readonly<Record<string, string | undefined>>,
  action: () => Result,
): Result {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  const set = (name: string, value: string | undefined): void => {
    if (value === undefined) {
      delete process.env[name];
    } else {
      process.env[name] = value;
    }
  };
  try {
    for (const [name, value] of Object.entries(variables)) {
      set(name, value);
    }
    return action();
  } finally {
    for (const [name, value] of before) {
      set(name, value);
    }
  }
}

/** Whether a value read from JSON is an object (neither `null` nor an array). */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
