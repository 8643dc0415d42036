import { parseArgs } from 'node:util';

export const BACKUP_HELP = `Usage: compose-etcd-broker backup <command> [options]

Looks after the backups of the broker whose settings are in the environment. Instances are named by their id
("cf service my-etcd --guid"), also those that are deleted; <backup> is a backup's id, or "latest".

  list [<instance>]            lists backups, of all instances or of one
  now <instance>               makes a backup
  verify <instance> <backup>   reads a backup to its end and says what is in it
  download <instance> <backup> writes a backup to a file, sealed as it is; goes on where an earlier try has ended
                                 --output <file>   <backup>.backup where not given
  export <instance> <backup>   prints the keys, one JSON object a line: key_space, key, value and lease; bytes that
                               are no UTF-8 text stand in key_base64 and value_base64
  import                       puts what export has printed into any etcd, without leases
                                 --file <file>  --endpoints <https://host:port,…>
                                 --user <name:password>  --ca <file>  --prefix <text put before each key>
                                 --key-space <only this one>
  delete <instance> <backup>   deletes a backup, after asking
  restore <instance> <backup>  puts a backup in place of all that another instance holds, after asking; a running
                               broker does it
                                 --into <instance> the instance that is filled; it must exist
  records                      writes the broker's own records to a file, sealed: instances, bindings, their passwords
                                 --output <file>   records-<time>.backup where not given
  restore-records              puts such records into a cluster that has lost everything; the broker then restores the
                               newest backup of each instance, and "check --repair" makes roles and users again
                                 --file <file>
  tidy                         compares the store with the records, and removes what unfinished backups have left

  --file <file>                verify and export: a file that was downloaded, in place of <instance> <backup>
  --yes                        does not ask
  --json                       prints one JSON object
  --help                       prints this text

Exit code: 0, 1 when it could not be done, 2 when the command is wrong.
`;

const COMMANDS = {
  list: [0, 1],
  now: [1, 1],
  verify: [2, 2],
  download: [2, 2],
  export: [2, 2],
  import: [0, 0],
  delete: [2, 2],
  restore: [2, 2],
  records: [0, 0],
  'restore-records': [0, 0],
  tidy: [0, 0],
} as const satisfies Record<string, readonly [least: number, most: number]>;
type Command = keyof typeof COMMANDS;

export interface BackupOptions {
  command: Command;
  instance?: string;
  backup?: string;
  output?: string;
  into?: string;
  file?: string;
  /** Of an import. */
  endpoints?: string;
  user?: string;
  ca?: string;
  prefix?: string;
  keySpace?: string;
  yes: boolean;
  json: boolean;
}

const ID = /^([0-9a-f]{24}|latest)$/;

/**
 * Reads the arguments that follow `backup`; undefined when help is asked for.
 * @throws Error that says what is wrong with them
 */
export function backupOptions(args: readonly string[]): BackupOptions | undefined {
  const flag = { type: 'boolean', default: false } as const;
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      output: text,
      into: text,
      file: text,
      endpoints: text,
      user: text,
      ca: text,
      prefix: text,
      'key-space': text,
      yes: flag,
      json: flag,
      help: flag,
    },
  });
  if (values.help) {
    return undefined;
  }
  const [command, ...rest] = positionals;
  if (command === undefined || !Object.hasOwn(COMMANDS, command)) {
    throw new Error(command === undefined ? 'A command is missing.' : `"${command}" is not a command.`);
  }
  const name = command as Command;
  const isOfFile = values.file !== undefined;
  if (isOfFile && !['verify', 'export', 'import', 'restore-records'].includes(name)) {
    throw new Error('--file belongs to verify, export, import and restore-records.');
  }
  if (!isOfFile && (name === 'restore-records' || name === 'import')) {
    throw new Error('--file is missing: what is to be read?');
  }
  const { endpoints, user, ca, prefix, 'key-space': keySpace } = values;
  const ofImport = Object.entries({ endpoints, user, ca, prefix, 'key-space': keySpace });
  const given = ofImport.find(([, value]) => value !== undefined);
  if (name !== 'import' && given !== undefined) {
    throw new Error(`--${given[0]} belongs to import.`);
  }
  if (name === 'import' && endpoints === undefined) {
    throw new Error('--endpoints is missing: where are the keys to be put?');
  }
  const [least, most] = isOfFile ? [0, 0] : COMMANDS[name];
  if (rest.length < least) {
    throw new Error(
      rest.length === 0 ? 'The id of an instance is missing.' : 'The id of a backup is missing.',
    );
  }
  if (rest.length > most) {
    throw new Error(`"${rest[most]}" is one argument too many.`);
  }
  const [instance, backup] = rest;
  if (backup !== undefined && !ID.test(backup)) {
    throw new Error(`"${backup}" is no backup: 24 hexadecimal digits, or "latest".`);
  }
  if ((values.into === undefined) === (name === 'restore')) {
    throw new Error(
      values.into === undefined
        ? '--into is missing: which instance is to be filled?'
        : '--into belongs to restore.',
    );
  }
  if (values.output !== undefined && name !== 'download' && name !== 'records') {
    throw new Error('--output belongs to download and records.');
  }
  return {
    command: name,
    ...(instance === undefined ? {} : { instance }),
    ...(backup === undefined ? {} : { backup }),
    ...(values.output === undefined ? {} : { output: values.output }),
    ...(values.into === undefined ? {} : { into: values.into }),
    ...(values.file === undefined ? {} : { file: values.file }),
    ...(endpoints === undefined ? {} : { endpoints }),
    ...(user === undefined ? {} : { user }),
    ...(ca === undefined ? {} : { ca }),
    ...(prefix === undefined ? {} : { prefix }),
    ...(keySpace === undefined ? {} : { keySpace }),
    yes: values.yes,
    json: values.json,
  };
}
