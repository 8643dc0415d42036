import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import type { BrokerCredentials } from '../../config/config.js';
import { Secret } from '../../credentials/secret.js';
import { writeDurably } from '../../embedded/durable-file.js';
import { EMBEDDED_USERNAME, presentBrokerPassword } from '../../embedded/kept-secrets.js';
import { BrokerClient } from './broker-client.js';
import { authorityOf, type Bound, etcdctlLine, kubernetesSecret, shellExports } from './forms.js';
import { bindingIdOf, instanceIdOf } from './ids.js';
import type { BindOptions } from './options.js';
import { type Offer, offerOf, offers } from './plans.js';
import { reply } from './replies.js';

export interface Streams {
  /** Standard output: what was asked for, secrets too. */
  out(text: string): void;
  /** Standard error: what a person should know. Never a secret. */
  note(line: string): void;
}

/**
 * `bind`: does what a platform does for its users, through the broker's own API.
 * @throws Error with one line for a person
 */
export async function bind(env: NodeJS.ProcessEnv, options: BindOptions, streams: Streams): Promise<void> {
  const client = new BrokerClient(brokerUrl(env), await login(env));
  const id = instanceIdOf(options.name);
  const instance = `/v2/service_instances/${id}`;
  const binding = `${instance}/service_bindings/${bindingIdOf(id, options.binding)}`;
  const known = offers((await client.send('GET', '/v2/catalog', [200])).body);
  const existing = await client.send('GET', instance, [200, 404]);
  const present = existing.status === 200 ? offerOf(known, reply(existing.body)) : undefined;
  if (options.action !== 'bind') {
    if (present === undefined) {
      streams.note(`There is no service instance "${options.name}".`);
      return;
    }
    const [what, target] =
      options.action === 'unbind'
        ? [`binding "${options.binding}" of "${options.name}"`, binding]
        : [`service instance "${options.name}"`, instance];
    const isDeleted = await remove(client, target, present);
    streams.note(isDeleted ? `Deleted the ${what}.` : `There is no ${what}.`);
    return;
  }
  const offer = choose(options, known, present);
  if (present === undefined) {
    await provision(client, instance, offer, options.name);
  }
  const bound = await credentialsOf(client, binding, offer, options, streams);
  await print(bound, options, streams);
}

function choose({ name, plan }: BindOptions, known: readonly Offer[], present: Offer | undefined): Offer {
  const wanted =
    plan === undefined ? known[0] : known.find((each) => plan === each.plan || plan === each.plan_id);
  if (wanted === undefined) {
    const names = known.map((each) => each.plan).join(', ');
    throw new Error(
      plan === undefined ? 'The broker offers no plan.' : `The broker has no plan "${plan}", only: ${names}.`,
    );
  }
  if (present !== undefined && plan !== undefined && present.plan_id !== wanted.plan_id) {
    throw new Error(
      `The service instance "${name}" exists with the plan "${present.plan}". Leave --plan out, or take another name.`,
    );
  }
  return present ?? wanted;
}

async function provision(client: BrokerClient, instance: string, offer: Offer, name: string): Promise<void> {
  const { status, body } = await client.send('PUT', `${instance}?accepts_incomplete=true`, [200, 201, 202], {
    service_id: offer.service_id,
    plan_id: offer.plan_id,
    organization_guid: 'none',
    space_guid: 'none',
    context: { platform: 'compose-etcd-broker-bind', instance_name: name },
  });
  if (status === 202) {
    await client.finish(instance, body);
  }
}

async function credentialsOf(
  client: BrokerClient,
  binding: string,
  offer: Offer,
  options: BindOptions,
  { note }: Streams,
): Promise<Bound> {
  const { name, parameters } = options;
  const made = await client.send('PUT', `${binding}?accepts_incomplete=true`, [200, 201, 202, 409], {
    service_id: offer.service_id,
    plan_id: offer.plan_id,
    parameters,
  });
  const again = `Delete it with "bind ${name} --binding ${options.binding} --delete" first`;
  if (made.status === 409) {
    throw new Error(
      `"${name}" has a binding "${options.binding}" with another key space, access or expiry. ${again}, or name another one with --binding.`,
    );
  }
  if (made.status === 202) {
    await client.finish(binding, made.body);
  }
  const { credentials, expiresAt } = reply(
    made.status === 202 ? (await client.send('GET', binding, [200])).body : made.body,
  );
  if (credentials === undefined) {
    throw new Error(`The broker at ${client.url} gave no credentials of etcd.`);
  }
  if (expiresAt !== undefined && Date.parse(expiresAt) <= Date.now()) {
    throw new Error(
      `The credentials stopped working at ${expiresAt}. ${again}; a new binding has the keys of a --key-space, and none of a key space of the old one's own.`,
    );
  }
  if (expiresAt !== undefined) {
    note(`These credentials stop working at ${expiresAt}.`);
  }
  return {
    name,
    binding: options.binding,
    service: { name: offer.service, tags: offer.tags },
    plan: offer.plan,
    credentials,
  };
}

/** @returns whether there was anything to delete */
async function remove(
  client: BrokerClient,
  target: string,
  { service_id, plan_id }: Offer,
): Promise<boolean> {
  const query = new URLSearchParams({ service_id, plan_id, accepts_incomplete: 'true' });
  const { status, body } = await client.send('DELETE', `${target}?${query}`, [200, 202, 410]);
  if (status === 202) {
    await client.finish(target, body);
  }
  return status !== 410;
}

async function print(bound: Bound, options: BindOptions, { out, note }: Streams): Promise<void> {
  const { form } = options;
  if (form === 'json') {
    return out(`${JSON.stringify(bound.credentials, null, 2)}\n`);
  }
  if (form === 'secret') {
    return out(kubernetesSecret(bound));
  }
  const caFile = await writeAuthority(bound, options, note);
  out(form === 'shell' ? shellExports(bound, caFile) : etcdctlLine(bound, caFile));
}

/** @returns the file's absolute path; undefined when the authority is a public one */
async function writeAuthority(
  { name, credentials }: Bound,
  { caFile }: BindOptions,
  note: Streams['note'],
): Promise<string | undefined> {
  const authority = authorityOf(credentials);
  if (authority === undefined) {
    return undefined;
  }
  const file = path.resolve(caFile ?? path.join(homedir(), '.compose-etcd-broker', `${name}.pem`));
  try {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    await writeDurably(file, authority, 0o600);
  } catch (error) {
    throw new Error(
      `The authority can't be written: ${(error as Error).message}. Name another file with --ca-file.`,
    );
  }
  note(`The authority to trust is in ${file}`);
  return file;
}

function brokerUrl({ BROKER_URL, PORT }: NodeJS.ProcessEnv): string {
  return BROKER_URL?.trim() || `http://localhost:${PORT?.trim() || 8080}`;
}

/** The same variables as the broker's own; without them what `npm start` keeps. */
async function login(env: NodeJS.ProcessEnv): Promise<BrokerCredentials> {
  const { BROKER_USERNAME: username, BROKER_PASSWORD: password } = env;
  if (username && password) {
    return { username: username.trim(), password: new Secret(password) };
  }
  if (username || password) {
    throw new Error('Set both BROKER_USERNAME and BROKER_PASSWORD, or neither.');
  }
  const dataDir = path.resolve(env.DATA_DIR?.trim() || 'data');
  const kept = await presentBrokerPassword(dataDir);
  if (kept === undefined) {
    throw new Error(
      `Neither BROKER_USERNAME and BROKER_PASSWORD are set, nor does ${dataDir} hold the password of a broker that npm start runs. Set them, or DATA_DIR.`,
    );
  }
  return { username: EMBEDDED_USERNAME, password: kept };
}
