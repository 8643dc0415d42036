import { parseArgs } from 'node:util';
import { EVERY_DEPLOYMENT, signInLink } from '../dashboard/address.js';
import { DashboardLinks, LINK_SECONDS } from '../records/dashboard-links.js';
import type { Output } from './output.js';
import type { Tools } from './tools.js';

export const DASHBOARD_HELP = `Usage: compose-etcd-broker dashboard <instance> [options]

Prints a link that signs a browser in to the dashboard of one instance ("cf service my-etcd --guid"). It is good once,
for ten minutes, whoever opens it.

  --all           for all instances instead of one: an operator's link
  --user <name>   who it is for, as the audit lines of what is changed name them; "link" without it
  --json          prints one JSON object
  --help          prints this text
`;

export interface DashboardOptions {
  /** Undefined for all. */
  instance?: string;
  user: string;
  json: boolean;
}

const LONGEST_USER = 100;

/** Reads the arguments that follow `dashboard`; undefined when help is asked for. @throws Error */
export function dashboardOptions(args: readonly string[]): DashboardOptions | undefined {
  const flag = { type: 'boolean', default: false } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { all: flag, user: { type: 'string' }, json: flag, help: flag },
  });
  if (values.help) {
    return undefined;
  }
  const [instance, ...rest] = positionals;
  if (rest.length > 0) {
    throw new Error(`"${rest[0]}" is one argument too many.`);
  }
  if ((instance === undefined) !== values.all) {
    throw new Error('Give the id of an instance, or --all.');
  }
  const { user = 'link', json } = values;
  if (user.length === 0 || user.length > LONGEST_USER) {
    throw new Error(`--user must have 1 to ${LONGEST_USER} characters.`);
  }
  return { user, json, ...(instance === undefined ? {} : { instance }) };
}

/** @returns the exit code */
export async function dashboardLink(
  { cluster, records, publicUrl }: Tools,
  output: Output,
  { instance, user, json }: DashboardOptions,
): Promise<number> {
  const scope =
    instance === undefined ? EVERY_DEPLOYMENT : (await records.readInstance(instance))?.value.deployment_id;
  if (scope === undefined) {
    throw new Error(
      `There is no instance "${instance}". "cf service my-etcd --guid" prints an instance's id.`,
    );
  }
  const token = await new DashboardLinks(cluster.client).create(scope, user);
  const url = signInLink(publicUrl, scope, token);
  output.line(json ? JSON.stringify({ url, seconds: LINK_SECONDS }) : url);
  return 0;
}
