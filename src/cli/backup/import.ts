import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Secret } from '../../credentials/secret.js';
import { EtcdClient } from '../../etcd/client.js';
import type { Output } from '../output.js';

/** Below etcd's `--max-txn-ops` and `--max-request-bytes`. */
const MOST_PUTS = 100;
const MOST_BYTES = 1 << 20;

export interface ImportOptions {
  file: string;
  /** `https://host:port`, separated by commas. */
  endpoints: string;
  /** `name:password` */
  user?: string;
  /** A file with the authority. */
  ca?: string;
  /** Put before each key. */
  prefix: string;
  /** Only the keys of this key space. */
  keySpace?: string;
}

interface Put {
  key: Buffer;
  value: Buffer;
}

/**
 * `backup import`: puts what `backup export` has printed into any etcd, without leases. Keys that are there are
 * replaced, others stay.
 * @throws Error that names the line that can't be read
 */
export async function importKeys(options: ImportOptions, output: Output): Promise<number> {
  const client = await connect(options);
  let [count, left] = [0, 0];
  let puts: Put[] = [];
  let bytes = 0;
  const send = async () => {
    // Two puts of one key are no transaction; the later one counts.
    const byKey = new Map(puts.map((put) => [put.key.toString('latin1'), put]));
    const success = [...byKey.values()].map((request_put) => ({ request_put }));
    await client.kv.txn({ compare: [], success, failure: [] });
    count += puts.length;
    [puts, bytes] = [[], 0];
  };
  try {
    let number = 0;
    for await (const line of createInterface({ input: createReadStream(options.file) })) {
      number += 1;
      const entry = read(line, number);
      if (options.keySpace !== undefined && entry.keySpace !== options.keySpace) {
        left += 1;
        continue;
      }
      const key = Buffer.concat([Buffer.from(options.prefix), entry.key]);
      if (
        puts.length > 0 &&
        (puts.length >= MOST_PUTS || bytes + key.length + entry.value.length > MOST_BYTES)
      ) {
        await send();
      }
      puts.push({ key, value: entry.value });
      bytes += key.length + entry.value.length;
    }
    if (puts.length > 0) {
      await send();
    }
  } finally {
    client.close();
  }
  output.line(
    output.json
      ? JSON.stringify({ keys: count, left_out: left })
      : `${count} keys were put${left === 0 ? '' : `, ${left} of other key spaces were left out`}.`,
  );
  return 0;
}

async function connect({ endpoints, user, ca }: ImportOptions): Promise<EtcdClient> {
  const colon = user?.indexOf(':') ?? -1;
  if (user !== undefined && colon < 1) {
    throw new Error('--user must be name:password.');
  }
  return new EtcdClient({
    endpoints: endpoints.split(','),
    ...(ca === undefined ? {} : { caCertificate: await readFile(ca, 'utf8') }),
    ...(user === undefined
      ? {}
      : { username: user.slice(0, colon), password: new Secret(user.slice(colon + 1)) }),
  });
}

function read(line: string, number: number): { keySpace: string; key: Buffer; value: Buffer } {
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line);
  } catch {
    throw new Error(`Line ${number} is not JSON.`);
  }
  const bytes = (name: string): Buffer => {
    const [text, base64] = [entry[name], entry[`${name}_base64`]];
    if (typeof text === 'string') {
      return Buffer.from(text, 'utf8');
    }
    if (typeof base64 === 'string') {
      return Buffer.from(base64, 'base64');
    }
    throw new Error(`Line ${number} has no ${name}.`);
  };
  return { keySpace: String(entry.key_space ?? ''), key: bytes('key'), value: bytes('value') };
}
