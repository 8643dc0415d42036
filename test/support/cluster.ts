import { readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import type { EtcdClient } from '../../src/etcd/client.js';
import { prefixEnd } from '../../src/etcd/ranges.js';
import { keys } from '../../src/records/keys.js';
import type { TestBroker } from './broker.js';
import { freezeProcess } from './freeze.js';
import { rootConnection } from './root-connection.js';

/** What the broker has made in etcd. Equal snapshots mean that nothing was created, changed or deleted between. */
export interface Snapshot {
  /** Each record's key with the revision of its last change. */
  records: string[];
  roles: string[];
  users: string[];
}

/** Looks at everything that the broker may make in etcd, except its signs of life and marks of deletions. */
export async function snapshotOfCluster(broker: TestBroker): Promise<Snapshot> {
  const connection = await keptConnection(broker);
  const [records, roles, users] = await Promise.all([
    connection.kv.range({ key: Buffer.from(keys.root), range_end: prefixEnd(keys.root), keys_only: true }),
    connection.auth.roleList(),
    connection.auth.userList(),
  ]);
  return {
    records: records.kvs
      .map(({ key, mod_revision }) => `${key.toString('utf8')} at ${mod_revision}`)
      .filter(
        (line) =>
          ![keys.owners, keys.probe, keys.allGone, keys.keyCheck].some((prefix) => line.startsWith(prefix)),
      )
      .sort(),
    roles: [...roles.roles].sort(),
    users: [...users.users].sort(),
  };
}

const kept = new WeakMap<object, Promise<EtcdClient>>();

/** One connection for all looks at a broker's etcd, until the broker stops. */
function keptConnection(broker: TestBroker): Promise<EtcdClient> {
  const { application } = broker;
  let connection = kept.get(application);
  if (connection === undefined) {
    connection = rootConnection(broker);
    kept.set(application, connection);
    broker.onStop.push(async () => (await connection)?.close());
  }
  return connection;
}

/** Stops a test broker's etcd for as long as `during` takes: it keeps its connections and answers nothing. */
export async function whileEtcdIsFrozen<T>(broker: TestBroker, during: () => Promise<T>): Promise<T> {
  const pid = await etcdProcess(broker);
  freezeProcess(pid);
  try {
    return await during();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

/** The child of this process that is etcd with the broker's data folder. */
async function etcdProcess({ dataDir }: TestBroker): Promise<number> {
  for (const guardian of await children(process.pid)) {
    for (const pid of await children(guardian)) {
      const program = await readlink(`/proc/${pid}/exe`).catch(() => '');
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      if (path.basename(program) === 'etcd' && command.includes(dataDir)) {
        return pid;
      }
    }
  }
  throw new Error('The test broker has no etcd that runs');
}

async function children(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text.split(' ').filter(Boolean).map(Number);
}
