import { Etcd3 } from 'etcd3';
import { BackupRecords } from '../../src/backups/backup-records.js';
import { Backups } from '../../src/backups/backups.js';
import { LONGEST_PAGE_BYTES } from '../../src/backups/cut.js';
import { FolderStore } from '../../src/backups/stores/folder.js';
import { TenantKeys } from '../../src/cluster/tenant-keys.js';
import { encryptionKey, Sealer } from '../../src/credentials/seal.js';
import { Secret } from '../../src/credentials/secret.js';
import { EtcdClient } from '../../src/etcd/client.js';
import { keyAfter, prefixEnd } from '../../src/etcd/ranges.js';
import { sleep } from '../statistics.js';

/** What this process is to do, and on what. */
export interface Work {
  what: 'backup' | 'daily' | 'restore' | 'page' | 'neighbour';
  endpoints: string[];
  caCertificate: string;
  password: string;
  folder: string;
  deployment: string;
  /** Of a restore: where to. */
  target?: string;
  /** Of bare paging: keys in a page. */
  page?: number;
  /** Of a neighbour: for how long. Of a backup by the schedule: it is given up then. */
  ms?: number;
}

/** What it says when it is done. */
export interface Done {
  ms: number;
  keys: number;
  bytes: number;
  /** In the store. */
  size: number;
  rssAtRest: number;
  rssMost: number;
  p50: number;
  p99: number;
}

/** 400 calls a second. */
const GAP_MS = 2.5;
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

async function main(work: Work): Promise<Partial<Done>> {
  const { endpoints, caCertificate, password, deployment, folder } = work;
  const address = { endpoints, caCertificate, username: 'root', password: new Secret(password) };
  if (work.what === 'page') {
    return page(work);
  }
  const client = new EtcdClient({ ...address, maxMessageBytes: LONGEST_PAGE_BYTES });
  try {
    if (work.what === 'neighbour') {
      return await neighbour(client, work.ms as number);
    }
    const backups = new Backups({
      client,
      store: new FolderStore(folder),
      records: new BackupRecords(client),
      seals: new Sealer([encryptionKey(new Secret(Buffer.alloc(32, 1).toString('base64')))]),
      tenantKeys: new TenantKeys(client),
      etcdVersion: async () => (await client.maintenance.status()).version,
      log: quiet,
    });
    const instance = {
      instance_id: deployment,
      deployment_id: deployment,
      service_id: '',
      plan_id: '',
      organization_guid: '',
      space_guid: '',
    };
    await client.kv.range({ key: Buffer.from('x') });
    if (work.what === 'daily') {
      const signal = AbortSignal.timeout(work.ms as number);
      await backups.take(instance, 'daily', { signal }).catch((error: unknown) => {
        if (!signal.aborted) {
          throw error;
        }
      });
      return {};
    }
    const found = work.what === 'restore' ? await backups.find(deployment, 'latest') : undefined;
    globalThis.gc?.();
    const rssAtRest = process.memoryUsage().rss;
    let rssMost = rssAtRest;
    const looking = setInterval(() => {
      rssMost = Math.max(rssMost, process.memoryUsage().rss);
    }, 20);
    const startedAt = performance.now();
    if (found !== undefined) {
      await backups.restore(found, work.target as string, () => undefined);
    }
    const made = found ?? (await backups.take(instance, 'on_demand'));
    const ms = performance.now() - startedAt;
    clearInterval(looking);
    return { ms, keys: made.keys, bytes: made.bytes, size: made.size, rssAtRest, rssMost };
  } finally {
    client.close();
  }
}

/** The same keys with the npm client alone, a page at a time. */
async function page({
  endpoints,
  caCertificate,
  password,
  deployment,
  page: limit = 1_000,
}: Work): Promise<Partial<Done>> {
  const client = new Etcd3({
    hosts: endpoints,
    credentials: { rootCertificate: Buffer.from(caCertificate) },
    auth: { username: 'root', password },
    grpcOptions: { 'grpc.max_receive_message_length': -1 },
  });
  try {
    await client.get('x');
    const startedAt = performance.now();
    const prefix = `/d/${deployment}/`;
    let key: Buffer = Buffer.from(prefix);
    let revision: string | undefined;
    let [keys, bytes] = [0, 0];
    for (;;) {
      const request = { key, range_end: prefixEnd(prefix), limit };
      const answer = await client.kv.range(revision === undefined ? request : { ...request, revision });
      revision ??= answer.header.revision;
      for (const kv of answer.kvs) {
        keys += 1;
        bytes += kv.key.length + kv.value.length;
      }
      const last = answer.kvs.at(-1);
      if (!answer.more || last === undefined) {
        return { ms: performance.now() - startedAt, keys, bytes };
      }
      key = keyAfter(last.key);
    }
  } finally {
    client.close();
  }
}

/**
 * Another tenant's gets and puts, at a fixed rate: each is made when it is due, whether those before it were answered
 * or not, so that a pause of etcd's counts for every call that it held up.
 */
async function neighbour(client: EtcdClient, ms: number): Promise<Partial<Done>> {
  const times: number[] = [];
  const calls: Promise<unknown>[] = [];
  const startedAt = performance.now();
  for (let count = 0; count * GAP_MS < ms; count += 1) {
    const wait = startedAt + count * GAP_MS - performance.now();
    if (wait > 0) {
      await sleep(wait);
    }
    const askedAt = performance.now();
    const key = Buffer.from(`/d/${'f'.repeat(24)}/n/${count % 100}`);
    const call =
      count % 2 === 0 ? client.kv.put({ key, value: Buffer.alloc(100) }) : client.kv.range({ key });
    calls.push(call.then(() => times.push(performance.now() - askedAt)));
  }
  await Promise.all(calls);
  times.sort((one, other) => one - other);
  const at = (part: number) => times[Math.floor(part * (times.length - 1))] as number;
  return { ms, keys: times.length, p50: at(0.5), p99: at(0.99) };
}

process.once('message', (work: Work) => {
  main(work).then(
    (done) => process.send?.(done, () => process.exit(0)),
    (error: Error) => {
      console.error(error);
      process.exit(1);
    },
  );
});
