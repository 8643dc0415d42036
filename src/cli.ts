#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { ClusterUnavailable } from './broker/errors.js';
import { check } from './cli/check.js';
import { operations } from './cli/operations.js';
import { printable, terminal } from './cli/output.js';
import { reseal } from './cli/reseal.js';
import { openTools } from './cli/tools.js';
import { EtcdError } from './etcd/errors.js';

const HELP = `Usage: compose-etcd-broker [command] [options]

Commands (settings come from the environment, as for the broker itself):
  serve        runs the broker (also without a command)
  check        compares the cluster with the broker's records and prints what differs
                 --repair   mends it, after asking
                 --all      tries every credential, not only 1,000 of them
                 --yes      does not ask
  operations   lists the operations that are under way
  reseal       seals every record anew under the newest key of BROKER_ENCRYPTION_KEY

Options:
  --json       prints one JSON object
  --help       prints this text

Exit code: 0 when all is well, 1 when something differs or could not be done, 2 when the command is wrong.
`;

const COMMANDS = { check, operations, reseal };

async function main(args: string[]): Promise<number | undefined> {
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
  if (rest.length > 0) {
    return wrong(`"${rest[0]}" is one word too many.`);
  }
  if (name === 'serve') {
    await import('./main.js');
    return undefined;
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    return wrong(`"${name}" is no command.`);
  }
  if ((values.repair || values.yes || values.all) && name !== 'check') {
    return wrong('--repair, --yes and --all belong to check.');
  }
  try {
    const tools = await openTools(process.env);
    try {
      const options = { repair: values.repair, yes: values.yes, all: values.all };
      return await COMMANDS[name as keyof typeof COMMANDS](tools, terminal(values.json), options);
    } finally {
      tools.close();
    }
  } catch (error) {
    process.stderr.write(`${printable(explain(error as Error))}\n`);
    return 1;
  }
}

function parse(args: string[]) {
  const flag = { type: 'boolean', default: false } as const;
  return parseArgs({
    args,
    allowPositionals: true,
    options: { help: flag, json: flag, repair: flag, yes: flag, all: flag },
  });
}

/** etcd's own words say neither that they are etcd's nor how they came here. */
function explain(error: Error): string {
  const failure = error instanceof ClusterUnavailable ? error.cause : error;
  return failure instanceof EtcdError
    ? `The command was given up, since etcd failed: ${failure.message}. Run it again.`
    : error.message;
}

function wrong(message: string): number {
  process.stderr.write(`${printable(message)}\n\n${HELP}`);
  return 2;
}

const exitCode = await main(process.argv.slice(2));
if (exitCode !== undefined) {
  process.exitCode = exitCode;
}
