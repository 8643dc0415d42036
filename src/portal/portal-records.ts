import type { EtcdClient, Stream, StreamHandlers } from '../etcd/client.js';
import { keys } from '../records/keys.js';
import type { FloorStore, Raised } from './calls/local/compact.js';
import { PORTAL_REGION } from './tenants/directory.js';
import { type OnceRecord, TOKEN_KEY } from './tenants/token-key.js';

const WATCH_TIMEOUT_MS = 4_000;

/** What portals keep in the records, below {@link PORTAL_REGION}. */
export class PortalRecords implements OnceRecord, FloorStore {
  constructor(readonly client: EtcdClient) {}

  async read(key: string): Promise<Buffer | undefined> {
    const { kvs } = await this.client.kv.range({ key: Buffer.from(key) });
    return kvs[0]?.value;
  }

  async createIfAbsent(key: string, value: Buffer): Promise<Buffer> {
    const name = Buffer.from(key);
    const { succeeded, responses } = await this.client.kv.txn({
      compare: [{ key: name, target: 'Create', result: 'Equal', create_revision: '0' }],
      success: [{ request_put: { key: name, value } }],
      failure: [{ request_range: { key: name } }],
    });
    const present = responses[0]?.response_range?.kvs[0]?.value;
    return succeeded || present === undefined ? value : present;
  }

  async revision(): Promise<number> {
    const { header } = await this.client.kv.range({ key: Buffer.from(PORTAL_REGION), count_only: true });
    return Number(header.revision);
  }

  /** @returns false when the instance is gone */
  async putOf(instanceId: string, key: string, value: Buffer): Promise<boolean> {
    const { succeeded } = await this.client.kv.txn({
      compare: [exists(instanceId)],
      success: [{ request_put: { key: Buffer.from(key), value } }],
      failure: [],
    });
    return succeeded;
  }

  async raise(key: string, floor: number, instanceId: string): Promise<Raised | undefined> {
    const name = Buffer.from(key);
    for (;;) {
      const { succeeded: isThere, responses } = await this.client.kv.txn({
        compare: [exists(instanceId)],
        success: [{ request_range: { key: name } }],
        failure: [],
      });
      if (!isThere) {
        return undefined;
      }
      const present = responses[0]?.response_range?.kvs[0];
      const value = Number(present?.value.toString('latin1') ?? 0);
      if (value >= floor) {
        return { floor: value, isRaised: false };
      }
      const { succeeded } = await this.client.kv.txn({
        compare: [
          exists(instanceId),
          { key: name, target: 'Mod', result: 'Equal', mod_revision: present?.mod_revision ?? '0' },
        ],
        success: [{ request_put: { key: name, value: Buffer.from(String(floor), 'latin1') } }],
        failure: [],
      });
      if (succeeded) {
        return { floor, isRaised: true };
      }
    }
  }
}

/** For what portals write of an instance: its removal deletes that, and nothing must come after. */
function exists(instanceId: string) {
  const key = Buffer.from(keys.instance(instanceId));
  return { key, target: 'Create', result: 'Greater', create_revision: '0' } as const;
}

/** How far the cluster's history is gone: etcd tells it to whoever watches from the beginning. 0 when it is whole. */
export async function compactedRevision(client: EtcdClient): Promise<number> {
  let stream: Stream<object> | undefined;
  try {
    return await new Promise<number>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('No answer to a watch')), WATCH_TIMEOUT_MS);
      const done = (revision: number) => {
        clearTimeout(timer);
        resolve(revision);
      };
      const handlers: StreamHandlers<{ created: boolean; compact_revision: string }> = {
        // After its creation comes the end of the watch or, from a history that is whole, the key's first event.
        onMessage: ({ created, compact_revision }) => {
          if (!created || compact_revision !== '0') {
            done(Number(compact_revision));
          }
        },
        onEnd: (error) => reject(error ?? new Error('The watch has ended')),
      };
      client
        .stream<object, never>('/etcdserverpb.Watch/Watch', handlers as StreamHandlers<never>)
        .then((opened) => {
          stream = opened;
          stream.write({ create_request: { key: Buffer.from(TOKEN_KEY), start_revision: '1' } });
        }, reject);
    });
  } finally {
    stream?.cancel();
  }
}
