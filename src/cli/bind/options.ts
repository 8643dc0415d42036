import { parseArgs } from 'node:util';

export const BIND_HELP = `Usage: compose-etcd-broker bind <name> [options]

Makes a service instance of that name and a binding to it, or finds them, through a running broker, and prints the
binding's credentials. For those who have no platform that does it. A repeated call prints the same credentials.

  --output <form>      json     the credentials as applications find them in VCAP_SERVICES (the default)
                       shell    lines that export VCAP_SERVICES and etcdctl's settings: eval "$(… --output shell)"
                       etcdctl  an etcdctl line that works, to which a command is added
                       secret   a Kubernetes Secret in the form of servicebinding.io: … | kubectl apply -f -
  --ca-file <file>     where shell and etcdctl keep the authority (~/.compose-etcd-broker/<name>.pem)
  --plan <plan>        name or id of the instance's plan (the first one of the catalog)
  --binding <name>     which binding of the instance ("default")
  --key-space <name>   keys that all bindings with this key space share (a key space of the binding's own)
  --access <access>    readwrite or readonly (readwrite)
  --expires-in <time>  a whole number and s, m, h or d: after that the credentials stop working (they work until deleted)
  --delete             deletes the binding: its credentials stop working, the keys stay
  --delete-instance    deletes the instance with all its bindings and keys
  --help               prints this text

Where the broker is, and what it is asked with, comes from the environment:
  BROKER_URL           http://localhost:PORT, where PORT is 8080 if it isn't set
  BROKER_USERNAME, BROKER_PASSWORD
                       without them the password that npm start keeps in DATA_DIR (./data)
  NODE_EXTRA_CA_CERTS  a file with the authority of an https:// broker, if it is a private one

uri_cli, which is among the credentials, names no authority, so etcdctl waits and says "context deadline exceeded".
The line that works names the file of the authority, and is what --output etcdctl prints:
  ETCDCTL_API=3 etcdctl --endpoints=… --user=… --cacert=ca.pem put hello world
The file is made by:
  compose-etcd-broker bind <name> | node -pe 'JSON.parse(fs.readFileSync(0)).ca_certificate_base64' | base64 -d >ca.pem

Secrets are written to standard output only. Exit code: 0, 1 when it could not be done, 2 when the command is wrong.
`;

const FORMS = ['json', 'shell', 'etcdctl', 'secret'] as const;
export type Form = (typeof FORMS)[number];

export interface BindOptions {
  /** Of the instance, and of what is written for it; a DNS label, as Kubernetes' names are. */
  name: string;
  binding: string;
  action: 'bind' | 'unbind' | 'deprovision';
  form: Form;
  /** Where the authority is written, if the form needs a file; absent for the usual place. */
  caFile?: string;
  /** Name or id; absent for the first plan of the catalog. */
  plan?: string;
  /** What the bind request takes. */
  parameters: { key_space?: string; access?: string; expires_in?: string };
}

/** RFC 1123's label: a name that is also one of Kubernetes, of a file and of a shell's word. */
const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const NAME_RULE = 'lower-case letters, digits and "-", at most 63, with a letter or digit at both ends';

/**
 * Reads the arguments that follow `bind`; undefined when help is asked for. The broker checks what its catalog
 * has a schema for.
 * @throws Error with one line when they are wrong
 */
export function bindOptions(args: readonly string[]): BindOptions | undefined {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      output: { ...text, default: 'json' },
      'ca-file': text,
      plan: text,
      binding: { ...text, default: 'default' },
      'key-space': text,
      access: text,
      'expires-in': text,
      delete: flag,
      'delete-instance': flag,
      help: flag,
    },
  });
  if (values.help) {
    return undefined;
  }
  const [name, ...rest] = positionals;
  if (name === undefined) {
    throw new Error('bind needs the name of a service instance, such as "bind my-etcd".');
  }
  if (rest.length > 0) {
    throw new Error(`"${rest[0]}" is one argument too many.`);
  }
  for (const [what, value] of [
    ['The name', name],
    ['--binding', values.binding],
  ] as const) {
    if (!NAME.test(value)) {
      throw new Error(`${what} must have ${NAME_RULE}.`);
    }
  }
  const form = FORMS.find((each) => each === values.output);
  if (form === undefined) {
    throw new Error(`--output must be one of ${FORMS.join(', ')}.`);
  }
  const caFile = values['ca-file'];
  if (caFile !== undefined && form !== 'shell' && form !== 'etcdctl') {
    throw new Error(
      '--ca-file belongs to --output shell and --output etcdctl; the other forms hold the authority.',
    );
  }
  const { plan, access, 'key-space': keySpace, 'expires-in': expiresIn } = values;
  const isDeletion = values.delete || values['delete-instance'];
  if (isDeletion && [plan, access, keySpace, expiresIn, caFile].some((value) => value !== undefined)) {
    throw new Error('A deletion takes no other option than --binding.');
  }
  return {
    name,
    binding: values.binding,
    action: values['delete-instance'] ? 'deprovision' : values.delete ? 'unbind' : 'bind',
    form,
    ...(caFile === undefined ? {} : { caFile }),
    ...(plan === undefined ? {} : { plan }),
    parameters: {
      ...(keySpace === undefined ? {} : { key_space: keySpace }),
      ...(access === undefined ? {} : { access }),
      ...(expiresIn === undefined ? {} : { expires_in: expiresIn }),
    },
  };
}
