import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { Etcd3 } from 'etcd3';
import { Secret } from '../../src/credentials/secret.js';
import { EtcdClient } from '../../src/etcd/client.js';
import { prefixEnd } from '../../src/etcd/ranges.js';
import type { TestBroker } from './broker.js';
import { etcdctl } from './etcd-versions.js';
import { endingWatches } from './etcd3-client.js';

const CALL_TIMEOUT_MS = 5_000;

/** The credentials of a binding, as an application reads them. */
export interface Credentials {
  uri: string;
  uri_direct_1?: string;
  uri_cli: string;
  ca_certificate_base64: string;
  username: string;
  password: string;
  role: string;
  key_prefix: string;
  deployment_id: string;
}

/** Connects as an application of Compose for etcd does: with a `uri` and the authority of the credentials alone. */
export function connect(
  credentials: Pick<Credentials, 'ca_certificate_base64'>,
  ...uris: [string, ...string[]]
): Etcd3 {
  const [first] = uris;
  const { username, password } = new URL(first);
  return endingWatches(
    new Etcd3({
      hosts: uris.map((uri) => new URL(uri).origin),
      credentials: { rootCertificate: Buffer.from(credentials.ca_certificate_base64, 'base64') },
      auth: { username, password },
      defaultCallOptions: () => ({ deadline: Date.now() + CALL_TIMEOUT_MS }),
    }),
  );
}

/**
 * Runs etcdctl with the words of `uri_cli`, the path of the authority's file and the words given.
 * @returns what it printed
 * @throws Error with what it said when it failed
 */
export async function runUriCli(uriCli: string, caFile: string, ...words: string[]): Promise<string> {
  const [setting = '', program, ...options] = uriCli.split(' ');
  if (program !== 'etcdctl') {
    throw new Error(`The second word of uri_cli is ${program}`);
  }
  const [name = '', value] = setting.split('=');
  const { stdout } = await promisify(execFile)(
    await etcdctl(),
    [...options, `--cacert=${caFile}`, ...words],
    { env: { [name]: value }, timeout: 15_000 },
  );
  return stdout;
}

/** A connection as root to the embedded etcd of a broker that runs. */
export async function connectAsRoot(broker: TestBroker): Promise<EtcdClient> {
  const read = (name: string) => readFile(path.join(broker.dataDir, name), 'utf8');
  return new EtcdClient({
    endpoints: broker.application.endpoints,
    caCertificate: await read('certificates/ca.pem'),
    username: 'root',
    password: new Secret((await read('etcd-root-password')).trim()),
  });
}

export interface Inventory {
  users: string[];
  roles: string[];
  keys: string[];
}

/** Everything in a cluster that a deployment could leave behind: users, roles, keys and open records. */
export async function inventory({ auth, kv }: EtcdClient): Promise<Inventory> {
  const [{ users }, { roles }, { kvs }] = [
    await auth.userList(),
    await auth.roleList(),
    await kv.range({ key: Buffer.from([0]), range_end: Buffer.from([0]), keys_only: true }),
  ];
  const keys = kvs.map(({ key }) => key.toString('utf8'));
  // Finished operations, marks of deletions and backups stay for a while, and a replica says all the time that it lives.
  const passing = /^\/_broker\/v1\/(operations|owners|probe|gone|key-check|backups)/;
  return { users: users.sort(), roles: roles.sort(), keys: keys.filter((key) => !passing.test(key)).sort() };
}

/** Writes so many keys below a prefix, in large transactions. */
export async function fill({ kv }: EtcdClient, prefix: string, count: number): Promise<void> {
  const PER_TRANSACTION = 128; // etcd's limit
  const AT_ONCE = 8;
  let next = 0;
  const writeSome = async () => {
    while (next < count) {
      const from = next;
      next += PER_TRANSACTION;
      const numbers = Array.from({ length: Math.min(PER_TRANSACTION, count - from) }, (_, i) => from + i);
      await kv.txn({
        compare: [],
        failure: [],
        success: numbers.map((number) => ({
          request_put: { key: Buffer.from(`${prefix}key-${number}`), value: Buffer.from(`value ${number}`) },
        })),
      });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, writeSome));
}

/** How many keys there are below a prefix. */
export async function countKeys({ kv }: EtcdClient, prefix: string): Promise<number> {
  const { count } = await kv.range({
    key: Buffer.from(prefix),
    range_end: prefixEnd(prefix),
    count_only: true,
  });
  return Number(count);
}

/** Does something as the application that has these credentials. */
export async function asTenant<T>(
  credentials: Credentials,
  use: (client: Etcd3, prefix: string) => Promise<T>,
): Promise<T> {
  const client = connect(credentials, credentials.uri);
  try {
    return await use(client, credentials.key_prefix);
  } finally {
    client.close();
  }
}

/** Writes so many keys, a hundred in a transaction. */
export async function writeKeys(credentials: Credentials, count: number): Promise<void> {
  await asTenant(credentials, async (client, prefix) => {
    const transactions: Promise<unknown>[] = [];
    for (let first = 0; first < count; first += 100) {
      const size = Math.min(100, count - first);
      const puts = Array.from({ length: size }, (_, index) =>
        client.put(`${prefix}${first + index}`).value('x'),
      );
      transactions.push(
        client
          .if(prefix, 'Version', '==', 0)
          .then(...puts)
          .commit(),
      );
      if (transactions.length >= 20) {
        await Promise.all(transactions.splice(0));
      }
    }
    await Promise.all(transactions);
  });
}
