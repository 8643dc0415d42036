import { parseArgs } from 'node:util';
import { ApiTokens } from '../records/api-tokens.js';
import type { Output } from './output.js';
import type { Tools } from './tools.js';

export const TOKEN_HELP = `Usage: compose-etcd-broker api-token <instance> [options]

Makes a bearer token of the administration API for one instance ("cf service my-etcd --guid") and prints it, once.

  --description <text>  what it is for
  --list                lists the instance's tokens instead
  --revoke <id>         takes one away
  --json                prints one JSON object
  --help                prints this text
`;

export interface TokenOptions {
  instance: string;
  description: string;
  list: boolean;
  revoke?: string;
  json: boolean;
}

const LONGEST_DESCRIPTION = 200;

/** Reads the arguments that follow `api-token`; undefined when help is asked for. @throws Error */
export function tokenOptions(args: readonly string[]): TokenOptions | undefined {
  const flag = { type: 'boolean', default: false } as const;
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { description: text, list: flag, revoke: text, json: flag, help: flag },
  });
  if (values.help) {
    return undefined;
  }
  const [instance, ...rest] = positionals;
  if (instance === undefined || rest.length > 0) {
    throw new Error(
      instance === undefined ? 'The id of an instance is missing.' : `"${rest[0]}" is one argument too many.`,
    );
  }
  const { description = '', list, revoke, json } = values;
  if (description.length > LONGEST_DESCRIPTION) {
    throw new Error(`--description must have at most ${LONGEST_DESCRIPTION} characters.`);
  }
  return { instance, description, list, json, ...(revoke === undefined ? {} : { revoke }) };
}

/** @returns the exit code */
export async function apiToken({ cluster }: Tools, output: Output, options: TokenOptions): Promise<number> {
  const tokens = new ApiTokens(cluster.client);
  const { instance, description, revoke } = options;
  if (revoke !== undefined) {
    if (!(await tokens.revoke(instance, revoke))) {
      throw new Error(`The instance "${instance}" has no token "${revoke}".`);
    }
    output.line(
      output.json ? JSON.stringify({ revoked: revoke }) : `${revoke} is good for nothing any more.`,
    );
    return 0;
  }
  if (options.list) {
    const all = await tokens.list(instance);
    if (output.json) {
      output.line(JSON.stringify({ tokens: all }));
      return 0;
    }
    for (const { id, created_at, description: what } of all) {
      output.line(`${id}  ${created_at}  ${what}`);
    }
    output.line(all.length === 0 ? 'There are no tokens.' : `${all.length} tokens.`);
    return 0;
  }
  const made = await tokens.create(instance, description);
  if (made === undefined) {
    throw new Error(`There is no instance "${instance}", or it has as many tokens as one may have.`);
  }
  output.line(output.json ? JSON.stringify(made) : made.token);
  return 0;
}
