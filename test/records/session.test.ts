import assert from 'node:assert/strict';
import type { EtcdClient } from '../../src/etcd/client.js';
import { EtcdError } from '../../src/etcd/errors.js';
import { keys } from '../../src/records/keys.js';
import { Session } from '../../src/records/session.js';
import { eventually } from '../support/time.js';

/** An etcd in which leases live as long as the test wants. */
class Leases {
  /** Keys by the lease that they are under. */
  readonly keys = new Map<string, string>();
  isFull = false;
  hangs = false;
  signsOfLife = 0;

  readonly connection = {
    lease: {
      leaseGrant: async ({ ID }: { ID: string }) => {
        if (this.isFull) {
          throw new EtcdError('no-space', 'database space exceeded');
        }
        this.keys.set(ID, '');
        return { ID };
      },
      leaseRevoke: async ({ ID }: { ID: string }) => {
        this.keys.delete(ID);
      },
    },
    exec: async (_service: string, _method: 'leaseKeepAlive', { ID }: { ID: string }) => {
      this.signsOfLife += 1;
      if (this.hangs) {
        await new Promise(() => undefined);
      }
      return { TTL: this.keys.has(ID) ? '5' : '0' };
    },
    kv: {
      put: async ({ key, lease }: { key: Buffer; lease: string }) => {
        this.keys.set(lease, key.toString());
      },
    },
  } as unknown as EtcdClient;
}

describe('A session', () => {
  let etcd: Leases;
  let session: Session;
  const log = { warn: () => undefined, info: () => undefined };

  beforeEach(() => {
    etcd = new Leases();
    session = new Session(etcd.connection, log);
  });
  afterEach(() => session.stop());

  it('is a key under a lease, and goes with its replica', async () => {
    await session.start();
    assert.deepEqual([...etcd.keys.values()], [keys.owner(session.id)]);
    assert.equal(session.isAlive, true);
    session.assertOwns(session.id);
    assert.throws(() => session.assertOwns('another'), { name: 'SessionLost' });
    const { id } = session;
    await session.stop();
    assert.equal(etcd.keys.size, 0);
    assert.throws(() => session.assertOwns(id), { name: 'SessionLost' });
  });

  it('that has run out in etcd begins anew under another name, so that nothing is owned by two', async () => {
    await session.start();
    const { id } = session;
    etcd.keys.clear();
    await eventually(async () => assert.notEqual(session.id, id));
    await eventually(async () => assert.equal(session.isAlive, true));
    assert.throws(() => session.assertOwns(id), { name: 'SessionLost' });
    assert.deepEqual([...etcd.keys.values()], [keys.owner(session.id)]);
  });

  it('is given up before etcd can give it to others when no sign of life is answered', async () => {
    await session.start();
    const startedAt = performance.now();
    etcd.hangs = true;
    await eventually(async () => assert.equal(session.isAlive, false));
    assert.ok(performance.now() - startedAt < 5_000, 'the lease lives for 5 s');
    assert.ok(etcd.signsOfLife > 1);
    etcd.hangs = false;
    await eventually(async () => assert.equal(session.isAlive, true));
  });

  it('begins as soon as there is room again', async () => {
    etcd.isFull = true;
    await session.start();
    assert.equal(session.isAlive, false);
    etcd.isFull = false;
    await eventually(async () => assert.equal(session.isAlive, true));
  });
});
