import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupUnderWay } from '../../src/backups/backup-records.js';
import type { Backups } from '../../src/backups/backups.js';
import { FolderStore } from '../../src/backups/stores/folder.js';
import { S3Store } from '../../src/backups/stores/s3.js';
import { tidy } from '../../src/backups/tidy.js';
import { EtcdError } from '../../src/etcd/errors.js';
import { rangeOfPrefix } from '../../src/etcd/ranges.js';
import { backupsOn } from '../backups/support/backups.js';
import { type Fault, S3Server } from '../backups/support/s3-server.js';
import { instancePath, PASSWORD, USERNAME } from '../support/broker.js';
import { runCli } from '../support/cli.js';
import { eventually } from '../support/time.js';
import { BrokerProcess } from './support/broker-process.js';
import { TestCluster } from './support/cluster.js';
import { assertOracle } from './support/oracle.js';

const KEYS = 20_000;
const ASYNC = '?accepts_incomplete=true';

describe('Backups while everything breaks', () => {
  let cluster: TestCluster;
  let folder: string;
  let s3: S3Server;
  let env: Record<string, string>;
  const brokers: BrokerProcess[] = [];
  const closing: (() => void)[] = [];

  before(async function () {
    this.timeout(60_000);
    cluster = await TestCluster.start();
    folder = await mkdtemp(path.join(tmpdir(), 'backups-'));
    s3 = await S3Server.start();
    env = { ...cluster.env(), BROKER_USERNAME: USERNAME, BROKER_PASSWORD: PASSWORD, BACKUP_DIR: folder };
    const broker = await start();
    assert.equal((await broker.provision('source')).status, 201);
    assert.equal((await broker.bind('source', 'b', { parameters: { key_space: 'config' } })).status, 201);
    const { kvs } = await cluster.root.kv.range({ key: Buffer.from('/_broker/v1/instances/source') });
    const { deployment_id } = JSON.parse(kvs[0]?.value.toString() ?? '');
    for (let at = 0; at < KEYS; at += 100) {
      await cluster.root.kv.txn({
        success: Array.from({ length: 100 }, (_, of) => ({
          request_put: {
            key: Buffer.from(`/d/${deployment_id}/config/${at + of}`),
            value: Buffer.alloc(500, of),
          },
        })),
      });
    }
    await broker.dispose();
  });
  afterEach(async () => {
    s3.fault = () => false;
    await Promise.all(brokers.splice(0).map((broker) => broker.dispose()));
  });
  after(async () => {
    for (const close of closing) {
      close();
    }
    await s3?.stop();
    await cluster?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function start(more: Record<string, string> = {}): Promise<BrokerProcess> {
    const broker = await new BrokerProcess({ env: { ...env, ...more } }).start();
    brokers.push(broker);
    return broker;
  }
  const run = (...args: string[]) => runCli(['backup', ...args], env);
  const here = (): Backups => {
    const { backups, close } = backupsOn(cluster.root, new FolderStore(folder), cluster.encryptionKey);
    closing.push(close);
    return backups;
  };
  const deploymentOf = async (instance: string): Promise<string | undefined> => {
    const { kvs } = await cluster.root.kv.range({ key: Buffer.from(`/_broker/v1/instances/${instance}`) });
    return kvs[0] && JSON.parse(kvs[0].value.toString()).deployment_id;
  };
  const countOf = async (deployment: string) =>
    Number((await cluster.root.kv.range({ ...rangeOfPrefix(`/d/${deployment}/`), count_only: true })).count);

  async function ended(broker: () => BrokerProcess, instance: string, operation: string) {
    for (;;) {
      const { status, body } = await broker()
        .send('GET', `${instancePath(instance)}/last_operation?operation=${operation}`)
        .catch(() => ({ status: 0, body: {} }));
      if (status !== 0 && body.state !== 'in progress') {
        return body;
      }
      await sleep(50);
    }
  }

  /** It is started again by itself. */
  async function killEtcd(): Promise<void> {
    const [member] = cluster.embedded.members;
    const pid = member?.pid;
    if (pid !== undefined) {
      process.kill(pid, 'SIGKILL');
    }
    await eventually(async () => {
      assert.ok(member?.pid !== undefined && member.pid !== pid);
    }, 30_000);
  }

  it('a restore whose broker is killed again and again is finished by the next', async function () {
    this.timeout(120_000);
    let broker = await start();
    const made = JSON.parse((await run('now', 'source', '--json')).stdout);
    assert.equal(made.keys, KEYS);
    const parameters = { source_service_instance_id: 'source', backup_id: made.backup_id };
    const { status, text, body } = await broker.provision('killed', { parameters }, ASYNC);
    assert.equal(status, 202, text);
    const kills = [30, 150, 400];
    for (const ms of kills) {
      await sleep(ms);
      await broker.kill('SIGKILL');
      broker = await start();
    }
    assert.equal((await ended(() => broker, 'killed', body.operation)).state, 'succeeded');
    assert.equal(await countOf((await deploymentOf('killed')) as string), KEYS);
    await assertOracle(cluster);
  });

  it('a restore that is deleted meanwhile leaves no key, whoever deletes it', async function () {
    this.timeout(60_000);
    const [one, other] = [await start(), await start()];
    for (const deleter of [one, other]) {
      const parameters = { source_service_instance_id: 'source', backup_id: 'latest' };
      assert.equal((await one.provision('deleted', { parameters }, ASYNC)).status, 202);
      await sleep(100);
      const deployment = (await deploymentOf('deleted')) as string;
      const { status, body } = await deleter.deprovision('deleted', '&accepts_incomplete=true');
      if (status === 202) {
        assert.equal((await ended(() => deleter, 'deleted', body.operation)).state, 'succeeded');
      }
      await sleep(500); // what a late call might have brought
      assert.equal(await countOf(deployment), 0);
    }
    await assertOracle(cluster);
  });

  it('a backup that is killed at any moment is not there, and its leftovers are found', async function () {
    this.timeout(60_000);
    const backups = here();
    const whole = (await backups.list('source')).length;
    const { spawn } = await import('node:child_process');
    const cli = path.resolve(import.meta.dirname, '../../src/cli.js');
    let killed = 0;
    for (let ms = 250; ms < 900; ms += 50) {
      const child = spawn(process.execPath, [cli, 'backup', 'now', 'source'], {
        env: { PATH: process.env.PATH, ...env },
        stdio: 'ignore',
      });
      const exit = new Promise<boolean>((resolve) =>
        child.once('exit', (_code, signal) => resolve(signal !== null)),
      );
      await sleep(ms);
      child.kill('SIGKILL');
      killed += (await exit) ? 1 : 0;
      // The claim of the one that was killed ends by itself.
      await cluster.root.kv.deleteRange(rangeOfPrefix('/_broker/v1/backups/under-way/'));
    }
    assert.ok(killed >= 1, `${killed} were killed`);
    for (const manifest of await backups.list('source')) {
      assert.equal((await backups.read(manifest)).keys, KEYS);
    }
    const tidied = await tidy(backups, undefined, 0);
    const after = await backups.list('source');
    assert.ok(after.length >= whole);
    const { deployment_id } = after[0] as (typeof after)[0];
    assert.equal((await readdir(path.join(folder, deployment_id))).length, 2 * after.length);
    console.log(
      `      ${killed} killed, ${tidied.removed} leftovers removed, ${tidied.indexed} found for the index`,
    );
    for (const manifest of after) {
      assert.equal((await backups.read(manifest)).keys, KEYS);
    }
    assert.deepEqual(await tidy(backups, undefined, 0), { indexed: 0, removed: 0 });
  });

  it('a restore whose etcd is killed again and again goes on when it is back', async function () {
    this.timeout(120_000);
    const broker = await start();
    assert.equal((await run('now', 'source', '--json')).code, 0);
    const parameters = { source_service_instance_id: 'source', backup_id: 'latest' };
    const { status, text, body } = await broker.provision('etcd-killed', { parameters }, ASYNC);
    assert.equal(status, 202, text);
    for (const ms of [50, 150, 400]) {
      await sleep(ms);
      await killEtcd();
    }
    assert.equal((await ended(() => broker, 'etcd-killed', body.operation)).state, 'succeeded');
    assert.equal(await countOf((await deploymentOf('etcd-killed')) as string), KEYS);
    await assertOracle(cluster);
  });

  it('a backup whose etcd is killed is there wholly or not at all', async function () {
    this.timeout(120_000);
    const backups = here();
    const { kvs } = await cluster.root.kv.range({ key: Buffer.from('/_broker/v1/instances/source') });
    const source = JSON.parse(kvs[0]?.value.toString() ?? '');
    let made = 0;
    for (const ms of [0, 40, 150]) {
      const taking = backups.take(source, 'on_demand').then(
        () => true,
        (error: Error) => {
          assert.ok(error instanceof EtcdError || error instanceof BackupUnderWay, String(error));
          return false;
        },
      );
      await sleep(ms);
      await killEtcd();
      made += (await taking) ? 1 : 0;
      await eventually(
        () => cluster.root.kv.deleteRange(rangeOfPrefix('/_broker/v1/backups/under-way/')),
        30_000,
      );
    }
    const listed = await backups.list('source');
    assert.ok(listed.length >= made);
    for (const manifest of listed) {
      assert.equal((await backups.read(manifest)).keys, KEYS);
    }
    await tidy(backups, undefined, 0);
    const [{ deployment_id }] = listed as [(typeof listed)[0]];
    const { length } = await backups.list('source');
    assert.equal((await readdir(path.join(folder, deployment_id))).length, 2 * length);
    assert.equal((await backups.take(source, 'on_demand')).keys, KEYS);
  });

  it('an index that was lost is made again from the store', async () => {
    const backups = here();
    const known = await backups.list();
    assert.ok(known.length > 0);
    await cluster.root.kv.deleteRange(rangeOfPrefix('/_broker/v1/backups/index/'));
    assert.deepEqual(await backups.list(), []);
    assert.deepEqual(await tidy(backups), { indexed: known.length, removed: 0 });
    assert.deepEqual(await backups.list(), known);
  });

  const faults: [what: string, fault: Fault][] = [
    [
      'answers 500 to everything',
      (request, response) => {
        request.resume();
        response.writeHead(500).end();
        return true;
      },
    ],
    [
      'cuts connections',
      (request) => {
        request.socket.destroy();
        return true;
      },
    ],
    [
      'refuses manifests',
      (request, response) => {
        if (!request.url?.includes('.manifest')) {
          return false;
        }
        request.resume();
        response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>');
        return true;
      },
    ],
    [
      'is full',
      (request, response) => {
        if (request.method !== 'PUT') {
          return false;
        }
        request.resume();
        response.writeHead(507).end('<Error><Code>InsufficientStorage</Code></Error>');
        return true;
      },
    ],
  ];
  for (const [what, fault] of faults) {
    it(`a store that ${what} has no half backup, and the next one is made`, async function () {
      this.timeout(60_000);
      const { backups, close } = backupsOn(cluster.root, new S3Store(s3.options), cluster.encryptionKey);
      closing.push(close);
      const instance = {
        instance_id: `of-${what}`,
        deployment_id: (await deploymentOf('source')) as string,
        service_id: 's',
        plan_id: 'p',
        organization_guid: 'o',
        space_guid: 's',
      };
      s3.fault = fault;
      await assert.rejects(backups.take(instance, 'daily'), { name: 'StoreError' });
      s3.fault = () => false;
      assert.deepEqual(await backups.list(instance.instance_id), []);
      const manifests = [];
      for await (const { name } of backups.parts.store.list(`${instance.deployment_id}/`)) {
        manifests.push(name);
      }
      assert.deepEqual(
        manifests.filter((name) => name.endsWith('.manifest')),
        [],
      );
      const made = await backups.take(instance, 'daily');
      assert.equal((await backups.read(made)).keys, KEYS);
      await backups.delete(made);
    });
  }

  it('an instance is not deleted while its last backup fails, and is when the store is back', async function () {
    this.timeout(60_000);
    const { port } = new URL(s3.options.url);
    const broker = await start({
      BACKUP_DIR: '',
      BACKUP_S3_URL: `http://127.0.0.1:${port}/backups/last`,
      BACKUP_S3_ACCESS_KEY_ID: 'S3RVER',
      BACKUP_S3_SECRET_ACCESS_KEY: 'S3RVER',
    });
    await broker.provision('last');
    const deployment = (await deploymentOf('last')) as string;
    await cluster.root.kv.put({ key: Buffer.from(`/d/${deployment}/config/k`), value: Buffer.from('v') });
    s3.fault = (request, response) => {
      request.resume();
      response.writeHead(503).end();
      return true;
    };
    const { status, body } = await broker.deprovision('last', '&accepts_incomplete=true');
    assert.equal(status, 202);
    assert.equal(await countOf(deployment), 1);
    s3.fault = () => false;
    assert.equal((await ended(() => broker, 'last', body.operation)).state, 'succeeded');
    assert.equal(await countOf(deployment), 0);
    const { stdout } = await runCli(['backup', 'list', 'last', '--json'], broker.env);
    assert.deepEqual(
      JSON.parse(stdout).backups.map(({ kind }: { kind: string }) => kind),
      ['final'],
    );
  });
});
