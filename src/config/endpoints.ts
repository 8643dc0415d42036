import { isIPv4 } from 'node:net';
import { ConfigError } from './error.js';

/** The port that etcd serves clients on when nothing else is said. */
const DEFAULT_PORT = 2379;

// Not left to `URL` alone: that drops ":443" and ":80", so that a port which was named could not be told from none.
const ENDPOINT = /^(https?):\/\/(\[[0-9a-f:.]+\]|[a-z0-9._-]{1,253})(?::([0-9]{1,5}))?\/?$/i;

/**
 * Reads one endpoint of etcd and writes it in the one form that the broker uses: `scheme://host:port`.
 *
 * @param endpoint such as `https://etcd-1.example:2379`; without a port it is 2379
 * @param where names the setting in the error, whose message never repeats the endpoint (it may hold a password)
 * @throws ConfigError when it is anything else, such as one with a path, a query or a user name
 */
export function parseEndpoint(endpoint: string, where: string): string {
  const [, scheme = '', host = '', port = String(DEFAULT_PORT)] = ENDPOINT.exec(endpoint.trim()) ?? [];
  const canonical = `${scheme}://${host}:${port}`.toLowerCase();
  if (scheme === '' || Number(port) < 1 || !URL.canParse(canonical)) {
    throw new ConfigError(
      endpoint.includes('@')
        ? `${where} must not hold a user name or password; write https://host:port there and sign in with ETCD_USERNAME and ETCD_PASSWORD.`
        : `${where} must be a URL like https://host:2379, with a scheme, a host and a port, and without a path.`,
    );
  }
  return canonical;
}

/**
 * Reads a comma-separated list of endpoints; one that is there twice counts once.
 * @throws ConfigError when an entry is not an endpoint, or `https://` and `http://` are mixed
 */
export function parseEndpoints(list: string, where: string): string[] {
  const entries = list.split(',');
  const endpoints = entries.map((entry, index) =>
    parseEndpoint(entry, entries.length === 1 ? where : `${where} (entry ${index + 1})`),
  );
  return uniform(endpoints, where);
}

/**
 * The endpoints without repetitions.
 * @throws ConfigError when some are `https://` and others `http://`: one cluster has one way to connect
 */
export function uniform(endpoints: readonly string[], where: string): string[] {
  const unique = [...new Set(endpoints)];
  if (unique.some(isPlaintext) && !unique.every(isPlaintext)) {
    throw new ConfigError(`${where} mixes https:// and http://; use https:// for every endpoint.`);
  }
  return unique;
}

/** Whether an endpoint in the broker's form is not encrypted. */
export function isPlaintext(endpoint: string): boolean {
  return endpoint.startsWith('http://');
}

/** Whether an endpoint in the broker's form can be reached from this machine only. */
export function isLoopback(endpoint: string): boolean {
  const host = new URL(endpoint).hostname;
  return (
    host === 'localhost' ||
    host.endsWith('.localhost') ||
    host === '[::1]' ||
    (isIPv4(host) && host.startsWith('127.'))
  );
}
