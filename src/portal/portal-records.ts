import type { EtcdClient } from '../etcd/client.js';
import type { FloorStore } from './calls/local/compact.js';
import { PORTAL_REGION } from './tenants/directory.js';
import type { OnceRecord } from './tenants/token-key.js';

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

  async raise(key: string, floor: number): Promise<{ floor: number; isRaised: boolean }> {
    const name = Buffer.from(key);
    for (;;) {
      const { kvs } = await this.client.kv.range({ key: name });
      const [present] = kvs;
      const value = Number(present?.value.toString('latin1') ?? 0);
      if (value >= floor) {
        return { floor: value, isRaised: false };
      }
      const { succeeded } = await this.client.kv.txn({
        compare: [{ key: name, target: 'Mod', result: 'Equal', mod_revision: present?.mod_revision ?? '0' }],
        success: [{ request_put: { key: name, value: Buffer.from(String(floor), 'latin1') } }],
        failure: [],
      });
      if (succeeded) {
        return { floor, isRaised: true };
      }
    }
  }
}
