import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Backups } from '../../src/backups/backups.js';
import { BackupKeeper } from '../../src/backups/keeper.js';
import { type BackupManifest, dataName } from '../../src/backups/manifest.js';
import { slotOf } from '../../src/backups/schedule.js';
import { FolderStore } from '../../src/backups/stores/folder.js';
import { tidy } from '../../src/backups/tidy.js';
import type { InstanceRecord } from '../../src/broker/model.js';
import type { EtcdClient } from '../../src/etcd/client.js';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { rootConnection } from '../support/root-connection.js';
import { backupsOn, someInstance } from './support/backups.js';

const DAY = 86_400_000;
const GRACE = 30 * DAY;

describe('The keeper of backups', () => {
  let broker: TestBroker;
  let root: EtcdClient;
  let folder: string;
  const closing: (() => void)[] = [];
  let instances: InstanceRecord[] = [];
  let observed: string[] = [];
  let logged: string[] = [];

  before(async () => {
    broker = await startTestBroker({ BACKUPS: 'off' });
    root = await rootConnection(broker);
  });
  after(async () => {
    root?.close();
    await broker?.dispose();
  });
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'keeper-'));
    [instances, observed, logged] = [[], [], []];
  });
  afterEach(async () => {
    for (const close of closing.splice(0)) {
      close();
    }
    await root.kv.deleteRange({
      key: Buffer.from('/_broker/v1/backups/'),
      range_end: Buffer.from('/_broker/v1/backups0'),
    });
    await rm(folder, { recursive: true, force: true });
  });

  function replica(hasBackups = () => true): { keeper: BackupKeeper; backups: Backups } {
    const key = Buffer.alloc(32, 7).toString('base64');
    const { backups, close } = backupsOn(root, new FolderStore(folder), key);
    closing.push(close);
    const note = (_details: object, message: string) => logged.push(message);
    const keeper = new BackupKeeper({
      backups,
      records: {
        async *instances() {
          for (const value of instances) {
            yield { value, revision: '1' };
          }
        },
      },
      hasBackups,
      graceMs: GRACE,
      log: { info: note, warn: note, error: note },
      observe: (outcome) => observed.push(outcome),
    });
    return { keeper, backups };
  }

  /** Made an hour before its time of day. */
  async function instance(
    state: InstanceRecord['state'] = 'ready',
  ): Promise<{ record: InstanceRecord; due: number }> {
    const made = someInstance();
    const due = Math.ceil(Date.now() / DAY) * DAY + slotOf(made.deployment_id);
    const created_at = new Date(due - 3_600_000).toISOString();
    const record: InstanceRecord = {
      schema: 1,
      ...made,
      state,
      context: {},
      parameters: {},
      created_at,
      updated_at: created_at,
    };
    instances.push(record);
    await root.kv.put({ key: Buffer.from(`/d/${made.deployment_id}/a/k`), value: Buffer.from('v') });
    return { record, due };
  }
  const kinds = (list: BackupManifest[]) => list.map(({ kind }) => kind);

  it('makes what is due, once, whichever of several replicas looks', async () => {
    const { record, due } = await instance();
    const [one, other] = [replica(), replica()];
    await one.keeper.look(due - 1);
    assert.deepEqual(await one.backups.list(), []);
    await Promise.all([one.keeper.look(due), other.keeper.look(due), one.keeper.look(due)]);
    const [made, ...more] = await one.backups.list(record.instance_id);
    assert.equal(made?.kind, 'monthly');
    assert.ok(more.length === 0, 'the places and the key keep it from being made twice');
    assert.equal((await one.backups.read(made as BackupManifest)).keys, 1);
  });

  it('makes none of plans without, of instances that are going, and goes on after one that fails', async () => {
    const { due } = await instance('deprovisioning');
    await replica().keeper.look(due + DAY);
    await instance();
    await replica(() => false).keeper.look(due + 2 * DAY);
    assert.deepEqual(await replica().backups.list(), []);
    const bad = { ...(instances[1] as InstanceRecord), deployment_id: 'not hexadecimal' };
    const good = instances.pop() as InstanceRecord;
    instances = [bad, good];
    const { keeper, backups } = replica();
    await keeper.look(due + 2 * DAY);
    assert.deepEqual(kinds(await backups.list()), ['monthly']);
    assert.deepEqual(observed.toSorted(), ['failed', 'made']);
    assert.ok(logged.includes('A backup failed; it is tried again'));
  });

  it('does not keep on the list, nor find again, what has lost its data', async () => {
    const { record } = await instance();
    const { backups } = replica();
    const { deployment_id, backup_id } = await backups.take(record, 'on_demand');
    await backups.parts.store.delete(dataName(deployment_id, backup_id));
    assert.equal((await tidy(backups)).indexed, 0);
    assert.deepEqual(await backups.list(), []);
    // The manifest goes when it has been alone for long.
    assert.deepEqual(await tidy(backups), { indexed: 0, removed: 0 });
    assert.deepEqual(await tidy(backups, undefined, 0), { indexed: 0, removed: 1 });
    await assert.rejects(backups.readManifest(deployment_id, backup_id), { kind: 'not found' });
  });

  it('leaves no manifest without data when the writing of a manifest fails and has come through', async () => {
    const { record } = await instance();
    const { backups } = replica();
    const { store } = backups.parts;
    const write = store.write.bind(store);
    store.write = async (name, pieces, signal) => {
      const bytes = await write(name, pieces, signal);
      if (name.endsWith('.manifest')) {
        throw new Error('the answer was lost');
      }
      return bytes;
    };
    await assert.rejects(backups.take(record, 'on_demand'), { message: 'the answer was lost' });
    assert.deepEqual(await tidy(backups, undefined, 0), { indexed: 0, removed: 0 });
    assert.deepEqual(await backups.list(), []);
  });

  it('removes what has had its time, and all of an instance that is gone for longer than the time of grace', async () => {
    const { record } = await instance();
    const { keeper, backups } = replica(() => false);
    const daily = await backups.take(record, 'daily');
    const newer = await backups.take(record, 'daily');
    await keeper.look(Date.now() + 6 * DAY);
    assert.equal((await backups.list()).length, 2);
    await keeper.look(Date.now() + 8 * DAY);
    assert.deepEqual(await backups.list(), [newer]);
    await assert.rejects(backups.read(daily), { kind: 'not found' });
    instances = [];
    await keeper.look(Date.now() + GRACE - DAY);
    assert.equal((await backups.list()).length, 1);
    await keeper.look(Date.now() + GRACE + DAY);
    assert.deepEqual(await backups.list(), []);
    assert.deepEqual(observed, ['removed', 'removed']);
  });

  it('ends one by the schedule when another is asked for, and makes two of different instances at the most', async function () {
    this.timeout(30_000);
    const { record } = await instance();
    await root.kv.put({ key: Buffer.from(`/d/${record.deployment_id}/a/l`), value: Buffer.from('v') });
    const { backups } = replica();
    // As long as it takes: it ends when it is told to, and not before.
    const slow = replica().backups;
    slow.parts.store.write = (_name, _pieces, signal) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason));
      });
    const daily = slow.take(record, 'daily');
    daily.catch(() => undefined);
    const others = [someInstance(), someInstance()];
    await new Promise((resolve) => setTimeout(resolve, 100));
    await root.kv.put({ key: Buffer.from('/_broker/v1/backups/places/1'), value: Buffer.from('x') });
    await assert.rejects(backups.take(others[0] as (typeof others)[0], 'weekly'), { name: 'BackupUnderWay' });
    const asked = await backups.take(record, 'on_demand');
    assert.equal(asked.keys, 2);
    await assert.rejects(daily, { name: 'BackupUnderWay', message: /has taken the place of this one/ });
    assert.deepEqual(kinds(await backups.list(record.instance_id)), ['on_demand']);
  });
});
