#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { ClusterUnavailable } from './broker/errors.js';
import { printable, terminal } from './cli/output.js';
import type { Tools } from './cli/tools.js';
import { EtcdError } from './etcd/errors.js';
import { packageVersion } from './version.js';

const HELP = `Usage: compose-etcd-broker [command] [options]

Commands (settings come from the environment, as for the broker itself):
  serve        runs the broker (also without a command)
  portal       runs one portal before a cluster of yours, see PORTAL_… in docs/settings.md
  portal-access  makes the portals' etcd user with the broker's settings, and prints what to set
  bind <name>  makes an instance and a binding through a running broker and prints the credentials; has a --help
  check        compares the cluster with the broker's records and prints what differs
                 --repair   repairs it, after asking
                 --all      tries every credential, not only 1,000 of them
                 --yes      does not ask
  api-token    makes, lists and revokes tokens of the administration API; has a --help
  dashboard    makes a link that signs a browser in to the dashboard once; has a --help
  backup       lists, makes, verifies, downloads and restores backups; has a --help
  operations   lists the operations that are under way
  reseal       seals every record anew under the newest key of BROKER_ENCRYPTION_KEY
                 --yes      does not ask when another key is lost

Options:
  --json       prints one JSON object
  --version    prints the broker's version
  --help       prints this text

Exit code: 0 when all is well, 1 when something differs or could not be done, 2 when the command is wrong.
`;

/** Each with what it needs to load, which takes longer than the answer to a mistyped command may. */
const COMMANDS = {
  check: async () => (await import('./cli/check.js')).check,
  operations: async () => (await import('./cli/operations.js')).operations,
  reseal: async () => (await import('./cli/reseal.js')).reseal,
  'portal-access': async () => (await import('./cli/portal-access.js')).portalAccess,
};

async function main(args: string[]): Promise<number | undefined> {
  if (args[0] === 'bind') {
    return await runBind(args.slice(1));
  }
  if (args[0] === 'backup') {
    return await runBackup(args.slice(1));
  }
  if (args[0] === 'api-token') {
    return await runApiToken(args.slice(1));
  }
  if (args[0] === 'dashboard') {
    return await runDashboard(args.slice(1));
  }
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    return wrong((error as Error).message);
  }
  const { values, positionals } = parsed;
  const [name = 'serve', ...rest] = positionals;
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.version) {
    process.stdout.write(`${await packageVersion()}\n`);
    return 0;
  }
  if (rest.length > 0) {
    return wrong(`"${rest[0]}" is one argument too many.`);
  }
  if (name === 'serve') {
    await import('./main.js');
    return undefined;
  }
  if (name !== 'portal' && !Object.hasOwn(COMMANDS, name)) {
    return wrong(`"${name}" is not a command.`);
  }
  if ((values.repair || values.all) && name !== 'check') {
    return wrong('--repair and --all belong to check.');
  }
  if (values.yes && name !== 'check' && name !== 'reseal') {
    return wrong('--yes belongs to check and reseal.');
  }
  if (name === 'portal') {
    try {
      await (await import('./cli/portal.js')).runPortal(process.env, terminal(false).line);
      return undefined;
    } catch (error) {
      return failed(error as Error);
    }
  }
  const { repair, yes, all, json } = values;
  return withTools(async (tools) => {
    const command = await COMMANDS[name as keyof typeof COMMANDS]();
    return command(tools, terminal(json), { repair, yes, all });
  });
}

/**
 * Reads the options of a command that has its own, and says what is wrong with them, or what they are.
 * @param read undefined when help is asked for
 * @returns an exit code when there is nothing to do
 */
function optionsOf<T>(read: () => T | undefined, help: string): T | number {
  let options: T | undefined;
  try {
    options = read();
  } catch (error) {
    return wrong((error as Error).message, help);
  }
  if (options === undefined) {
    process.stdout.write(help);
    return 0;
  }
  return options;
}

/** Runs a command that works on the broker's cluster. @returns the exit code */
async function withTools(run: (tools: Tools) => Promise<number>): Promise<number> {
  const { openTools } = await import('./cli/tools.js');
  try {
    const tools = await openTools(process.env);
    try {
      return await run(tools);
    } finally {
      tools.close();
    }
  } catch (error) {
    return failed(error as Error);
  }
}

/** `bind` needs no cluster but a broker. */
async function runBind(args: string[]): Promise<number> {
  const { BIND_HELP, bindOptions } = await import('./cli/bind/options.js');
  const options = optionsOf(() => bindOptions(args), BIND_HELP);
  if (typeof options === 'number') {
    return options;
  }
  const { bind } = await import('./cli/bind/bind.js');
  const note = (line: string) => process.stderr.write(`${printable(line)}\n`);
  try {
    await bind(process.env, options, { out: (text) => process.stdout.write(text), note });
    return 0;
  } catch (error) {
    note((error as Error).message);
    return 1;
  }
}

async function runBackup(args: string[]): Promise<number> {
  const { BACKUP_HELP, backupOptions } = await import('./cli/backup/options.js');
  const options = optionsOf(() => backupOptions(args), BACKUP_HELP);
  if (typeof options === 'number') {
    return options;
  }
  if (options.command === 'import') {
    const { importKeys } = await import('./cli/backup/import.js');
    const { file = '', endpoints = '', prefix = '', user, ca, keySpace } = options;
    const more = { ...(user && { user }), ...(ca && { ca }), ...(keySpace && { keySpace }) };
    return importKeys({ file, endpoints, prefix, ...more }, terminal(options.json)).catch(failed);
  }
  const { backup } = await import('./cli/backup/backup.js');
  const write = (text: string) =>
    new Promise<void>((resolve, reject) => {
      process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
    });
  return withTools((tools) => backup(tools, terminal(options.json), options, write));
}

async function runApiToken(args: string[]): Promise<number> {
  const { TOKEN_HELP, apiToken, tokenOptions } = await import('./cli/api-token.js');
  const options = optionsOf(() => tokenOptions(args), TOKEN_HELP);
  return typeof options === 'number'
    ? options
    : withTools((tools) => apiToken(tools, terminal(options.json), options));
}

async function runDashboard(args: string[]): Promise<number> {
  const { DASHBOARD_HELP, dashboardLink, dashboardOptions } = await import('./cli/dashboard.js');
  const options = optionsOf(() => dashboardOptions(args), DASHBOARD_HELP);
  return typeof options === 'number'
    ? options
    : withTools((tools) => dashboardLink(tools, terminal(options.json), options));
}

function failed(error: Error): number {
  for (const line of explain(error).split('\n')) {
    process.stderr.write(`${printable(line)}\n`);
  }
  return 1;
}

function parse(args: string[]) {
  const flag = { type: 'boolean', default: false } as const;
  return parseArgs({
    args,
    allowPositionals: true,
    options: { help: flag, version: flag, json: flag, repair: flag, yes: flag, all: flag },
  });
}

/** etcd's own words say neither that they are etcd's nor how they came here. */
function explain(error: Error): string {
  const failure = error instanceof ClusterUnavailable ? error.cause : error;
  return failure instanceof EtcdError
    ? `The command was given up, since etcd failed: ${failure.message}. Run it again.`
    : error.message;
}

function wrong(message: string, help = HELP): number {
  process.stderr.write(`${printable(message)}\n\n${help}`);
  return 2;
}

const exitCode = await main(process.argv.slice(2));
if (exitCode !== undefined) {
  process.exitCode = exitCode;
}
