import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import type { Backups } from '../../src/backups/backups.js';
import { LeaseIds } from '../../src/backups/lease-ids.js';
import { dataName } from '../../src/backups/manifest.js';
import { FolderStore } from '../../src/backups/stores/folder.js';
import { S3Store } from '../../src/backups/stores/s3.js';
import type { EtcdClient } from '../../src/etcd/client.js';
import { pagedRange, rangeOfPrefix } from '../../src/etcd/ranges.js';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { availableEtcds } from '../support/etcd-versions.js';
import { rootConnection } from '../support/root-connection.js';
import { backupsOn, someInstance } from './support/backups.js';
import { S3Server } from './support/s3-server.js';

interface Found {
  key: string;
  value: string;
  /** The lower half of its lease's id. */
  lease?: string;
}

for (const { version, path: binary } of await availableEtcds()) {
  describe(`Backup and restore, etcd ${version}`, () => {
    let broker: TestBroker;
    let root: EtcdClient;
    let s3: S3Server;
    let folder: string;
    const open: (() => void)[] = [];
    const inFolder = () => new FolderStore(folder);
    const backupsIn = (store = inFolder() as FolderStore | S3Store): Backups => {
      const { backups, close } = backupsOn(root, store, 'A'.repeat(43).concat('='));
      open.push(close);
      return backups;
    };
    const nothing = () => undefined;

    before(async () => {
      broker = await startTestBroker({ ETCD_BINARY: binary });
      root = await rootConnection(broker);
      s3 = await S3Server.start();
      folder = await mkdtemp(path.join(tmpdir(), 'backups-'));
    });
    after(async () => {
      for (const close of open) {
        close();
      }
      root?.close();
      await s3?.stop();
      await broker?.dispose();
      await rm(folder, { recursive: true, force: true });
    });

    const put = (deployment: string, name: string, key: Uint8Array, value: Uint8Array, lease = '0') =>
      root.kv.put({
        key: Buffer.concat([Buffer.from(`/d/${deployment}/${name}/`), key]),
        value: Buffer.from(value),
        lease,
      });

    async function contents(deployment: string): Promise<Found[]> {
      const prefix = `/d/${deployment}/`;
      const found: Found[] = [];
      for await (const { key, value, lease } of pagedRange(root.kv, rangeOfPrefix(prefix), 1_000)) {
        found.push({
          key: key.subarray(prefix.length).toString('latin1'),
          value: value.toString('latin1'),
          ...(lease === '0' ? {} : { lease: String(BigInt(lease) & 0xffffffffn) }),
        });
      }
      return found;
    }

    const key = fc.uint8Array({ minLength: 1, maxLength: 20 });
    const keySpace = fc.constantFrom('a', 'a'.repeat(60), 'config', 'x-1', 'restored-1');
    for (const [what, runs, store] of [
      ['a folder', 12, inFolder],
      ['S3', 6, () => new S3Store(s3.options)],
    ] as const) {
      it(`are the identity by way of ${what}`, async function () {
        this.timeout(60_000);
        const backups = backupsIn(store());
        await fc.assert(
          fc.asyncProperty(
            fc.array(fc.tuple(keySpace, key, fc.uint8Array({ maxLength: 300 }), fc.nat(3)), {
              maxLength: 60,
            }),
            async (entries) => {
              const source = someInstance();
              const leases = new Map<string, string>();
              for (const [name, key, value, lease] of entries) {
                let id: string | undefined;
                if (lease > 0) {
                  id = String(new LeaseIds(`/d/${source.deployment_id}/${name}/`).toEtcd(BigInt(lease)));
                  if (!leases.has(id)) {
                    leases.set(
                      id,
                      await root.lease.leaseGrant({ ID: id, TTL: 600 * lease }).then(() => name),
                    );
                  }
                }
                await put(source.deployment_id, name, key, value, id);
              }
              const before = await contents(source.deployment_id);
              const made = await backups.take(source, 'on_demand');
              assert.equal(made.keys, before.length);
              assert.equal(made.leases, leases.size);
              const target = someInstance().deployment_id;
              await backups.restore(made, target, nothing);
              assert.deepEqual(await contents(target), before);
              for (const [id, name] of leases) {
                const restored = new LeaseIds(`/d/${target}/${name}/`).toEtcd(BigInt(id) & 0xffffffffn);
                const { TTL, grantedTTL } = await root.lease.leaseTimeToLive({ ID: String(restored) });
                assert.ok(Number(TTL) > 590 && Number(TTL) <= Number(grantedTTL), `${TTL} of ${grantedTTL}`);
              }
              await backups.restore(made, source.deployment_id, nothing);
              assert.deepEqual(await contents(source.deployment_id), before);
            },
          ),
          { numRuns: runs },
        );
      });
    }

    it('hold a large instance, and values as long as etcd takes them, in pages', async function () {
      this.timeout(60_000);
      const backups = backupsIn();
      const source = someInstance();
      for (let at = 0; at < 30; at += 1) {
        await put(source.deployment_id, 'a', Buffer.from(`large/${at}`), Buffer.alloc(1_400_000, at));
      }
      for (let at = 0; at < 20_000; at += 100) {
        await root.kv.txn({
          success: Array.from({ length: 100 }, (_, of) => ({
            request_put: {
              key: Buffer.from(`/d/${source.deployment_id}/b/${at + of}`),
              value: randomBytes(20),
            },
          })),
        });
      }
      const told: number[] = [];
      const made = await backups.take(source, 'daily', { onProgress: ({ keys }) => told.push(keys) });
      assert.deepEqual([made.keys, made.key_spaces, told.at(-1)], [20_030, 2, 20_030]);
      assert.ok(told.length > 3);
      const target = someInstance().deployment_id;
      await backups.restore(made, target, nothing);
      assert.deepEqual(await contents(target), await contents(source.deployment_id));
    });

    it('give a binding’s own key space a name that can be asked for, where it is another instance', async () => {
      const backups = backupsIn();
      const source = someInstance();
      await put(source.deployment_id, '_0123456789abcdef', Buffer.from('k'), Buffer.from('v'));
      const made = await backups.take(source, 'on_demand');
      const target = someInstance().deployment_id;
      await backups.restore(made, target, nothing);
      assert.deepEqual(await contents(target), [{ key: 'restored-0123456789abcdef/k', value: 'v' }]);
      await backups.restore(made, source.deployment_id, nothing);
      assert.deepEqual(await contents(source.deployment_id), [{ key: '_0123456789abcdef/k', value: 'v' }]);
    });

    it('are of one revision, whatever is written meanwhile', async function () {
      this.timeout(60_000);
      const backups = backupsIn();
      const source = someInstance();
      const accounts = 2_000;
      const name = (at: number) =>
        Buffer.from(`/d/${source.deployment_id}/a/${at % 2 === 0 ? 'a' : 'z'}/${at}`);
      const balances = Array.from({ length: accounts }, () => 100);
      for (let at = 0; at < accounts; at += 100) {
        await root.kv.txn({
          success: Array.from({ length: 100 }, (_, of) => ({
            request_put: { key: name(at + of), value: Buffer.from('100') },
          })),
        });
      }
      let isOver = false;
      const transfers = (async () => {
        for (let count = 0; !isOver; count += 1) {
          const [from, to] = [count % accounts, (count * 7 + 1) % accounts];
          if (from !== to) {
            balances[from] = (balances[from] as number) - 1;
            balances[to] = (balances[to] as number) + 1;
            await root.kv.txn({
              success: [from, to].map((at) => ({
                request_put: { key: name(at), value: Buffer.from(String(balances[at])) },
              })),
            });
          }
        }
      })();
      for (let round = 0; round < 5; round += 1) {
        const made = await backups.take(source, 'daily');
        const target = someInstance().deployment_id;
        await backups.restore(made, target, nothing);
        const sum = (await contents(target)).reduce((total, { value }) => total + Number(value), 0);
        assert.equal(sum, 100 * accounts);
      }
      isOver = true;
      await transfers;
    });

    it('begin again when the history is compacted under their hands', async () => {
      const backups = backupsIn();
      const source = someInstance();
      for (let at = 0; at < 30; at += 1) {
        await put(source.deployment_id, 'a', Buffer.from(String(at)), Buffer.alloc(1_000_000));
      }
      let compactions = 0;
      const made = await backups.take(source, 'daily', {
        onProgress: () => {
          if (compactions < 2) {
            compactions += 1;
            void put(source.deployment_id, 'a', Buffer.from('new'), Buffer.from('v')).then(({ header }) =>
              root.kv.compact({ revision: header.revision }),
            );
          }
        },
      });
      assert.equal((await backups.read(made)).keys, 31);
    });

    it('leave nothing when they are given up, and two of one instance are not made at a time', async () => {
      const backups = backupsIn();
      const source = someInstance();
      await put(source.deployment_id, 'a', Buffer.from('k'), Buffer.from('v'));
      const given = new AbortController();
      const taking = backups.take(source, 'daily', {
        signal: given.signal,
        onProgress: () => given.abort(new Error('the instance is deleted')),
      });
      await assert.rejects(taking, { message: 'the instance is deleted' });
      assert.deepEqual(await backups.list(source.instance_id), []);
      let refused: unknown;
      await backups.take(source, 'on_demand', {
        isWanted: async () => {
          refused = await backups.take(source, 'on_demand').catch((error: unknown) => error);
          return true;
        },
      });
      assert.equal((refused as Error).name, 'BackupUnderWay');
      assert.equal((await backups.list(source.instance_id)).length, 1);
    });

    it('are found by instance and deleted wholly', async () => {
      const backups = backupsIn();
      const source = someInstance();
      await put(source.deployment_id, 'a', Buffer.from('k'), Buffer.from('v'));
      const made = [await backups.take(source, 'daily'), await backups.take(source, 'on_demand')];
      const found = await backups.list(source.instance_id);
      assert.deepEqual(
        found.map(({ kind }) => kind),
        ['on_demand', 'daily'],
      );
      assert.deepEqual(await backups.find(source.instance_id, 'latest'), made[1]);
      assert.deepEqual(await backups.find(source.instance_id, made[0]?.backup_id as string), made[0]);
      assert.equal(await backups.find('another', made[0]?.backup_id as string), undefined);
      assert.deepEqual(
        await backups.readManifest(source.deployment_id, made[0]?.backup_id as string),
        made[0],
      );
      for (const one of made) {
        await backups.delete(one);
        await backups.delete(one);
      }
      assert.deepEqual(await backups.list(source.instance_id), []);
      await assert.rejects(backups.read(made[0] as (typeof made)[0]), {
        name: 'StoreError',
        kind: 'not found',
      });
    });

    it('are refused when they are damaged, another’s, or under another key, and put nothing', async () => {
      const backups = backupsIn();
      const source = someInstance();
      await put(source.deployment_id, 'a', Buffer.from('k'), Buffer.from('v'));
      const [one, other] = [await backups.take(source, 'daily'), await backups.take(source, 'daily')];
      const [file, otherFile] = [one, other].map(({ deployment_id, backup_id }) =>
        path.join(folder, dataName(deployment_id, backup_id)),
      ) as [string, string];
      const good = await readFile(file);
      const target = someInstance().deployment_id;
      const refused = async (bytes: Buffer, message: RegExp, by = backups) => {
        await writeFile(file, bytes);
        await assert.rejects(by.restore(one, target, nothing), message);
        assert.deepEqual(await contents(target), []);
      };
      const flipped = Buffer.from(good);
      flipped[60] = (flipped[60] as number) ^ 1;
      await refused(flipped, /was changed since it was made: its chunk 1 does not open/);
      await refused(good.subarray(0, -5), /cut off/);
      await refused(await readFile(otherFile), /another backup than its name says/);
      const stranger = backupsOn(root, inFolder());
      open.push(stranger.close);
      await refused(good, /needs the encryption key/, stranger.backups);
      await writeFile(file, good);
      await backups.restore(one, target, nothing);
      assert.equal((await contents(target)).length, 1);
    });
  });
}
