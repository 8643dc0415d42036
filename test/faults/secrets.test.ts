import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { keys } from '../../src/records/keys.js';
import { bindingPath, PASSWORD, USERNAME } from '../support/broker.js';
import { BrokerProcess, newEncryptionKey } from './support/broker-process.js';
import { TestCluster } from './support/cluster.js';
import { assertOracle, credentialsWork } from './support/oracle.js';
import { commands, Platform } from './support/platform.js';

const CLI = path.resolve(import.meta.dirname, '../../src/cli.js');
const run = promisify(execFile);

describe('Encryption keys', () => {
  let cluster: TestCluster;
  const started = new Set<BrokerProcess>();
  let replicas: BrokerProcess[] = [];

  before(async () => {
    cluster = await TestCluster.start();
  });
  after(async () => {
    await Promise.all([...started].map((replica) => replica.dispose()));
    await cluster?.stop();
  });

  const withKeys = (keys: readonly string[]) => ({ ...cluster.env(), BROKER_ENCRYPTION_KEY: keys.join(',') });

  async function start(encryptionKeys: readonly string[]): Promise<BrokerProcess> {
    const replica = new BrokerProcess({ env: withKeys(encryptionKeys) });
    started.add(replica);
    return replica.start();
  }

  /** Replaces each replica by one with these keys, as an upgrade rolls: no request is sent to one that stops. */
  async function roll(keys: readonly string[]): Promise<void> {
    for (const old of [...replicas]) {
      const next = await start(keys);
      replicas = [...replicas.filter((replica) => replica !== old), next];
      await old.kill('SIGTERM');
      assert.equal(await old.exited, 0, 'a replica did not stop cleanly');
      started.delete(old);
    }
  }

  async function command(name: string, keys: readonly string[], ...options: string[]) {
    const login = { BROKER_USERNAME: USERNAME, BROKER_PASSWORD: PASSWORD };
    const env = { PATH: process.env.PATH, HOME: process.env.HOME, ...login, ...withKeys(keys) };
    const { stdout } = await run(process.execPath, [CLI, name, '--json', ...options], {
      env,
      timeout: 30_000,
    }).catch((error: { stdout: string; stderr: string }) => {
      assert.notEqual(error.stdout, '', error.stderr);
      return error;
    });
    return JSON.parse(stdout);
  }

  it('are replaced under traffic without a failed request', async () => {
    const [old, fresh] = [cluster.encryptionKey, newEncryptionKey()];
    replicas = [await start([old]), await start([old])];
    assert.equal((await (replicas[0] as BrokerProcess).provision('kept')).status, 201);
    const kept = await (replicas[0] as BrokerProcess).bind('kept', 'kept');
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
    console.log(`      seed ${seed} (SEED=${seed} repeats the requests)`);
    let goesOn = true;
    const platform = new Platform({ cluster, replicas: () => replicas, name: 'sealed' });
    const traffic = platform.run(fc.sample(commands(20_000), { seed, numRuns: 1 })[0] ?? [], 6, () => goesOn);
    traffic.catch(() => undefined);
    try {
      // First every replica learns the new key, then they seal under it, then nothing needs the old one any more.
      await roll([old, fresh]);
      await roll([fresh, old]);
      const { failed } = await command('reseal', [fresh, old]);
      assert.deepEqual(failed, []);
      await roll([fresh]);
      await sleep(500);
    } finally {
      goesOn = false;
    }
    await traffic;
    console.log(`      ${platform.requests} requests, ${platform.checks} credentials tried`);
    assert.ok(platform.requests > 200, 'hardly any requests went through');
    cluster.encryptionKey = fresh;
    await platform.settle();
    const fetched = await (replicas[0] as BrokerProcess).send('GET', bindingPath('kept', 'kept'));
    assert.equal(fetched.body.credentials.password, kept.body.credentials.password);
    assert.deepEqual((await command('check', [fresh])).differences, []);
    for (const replica of replicas) {
      await replica.dispose();
    }
  });

  it('that are lost cost the bindings that they sealed, with a clear error, and no others', async () => {
    const [lost, present] = [newEncryptionKey(), newEncryptionKey()];
    const known = cluster.encryptionKey;
    await (await start([known])).kill('SIGTERM');
    const before = await start([lost, known]);
    assert.equal((await before.provision('mixed')).status, 201);
    const sealed = await before.bind('mixed', 'sealed-under-lost');
    assert.equal((await before.bind('mixed', 'also-under-lost')).status, 201);
    assert.equal(sealed.status, 201);
    await before.kill('SIGTERM');

    const broker = await start([present, known]);
    const other = await broker.bind('mixed', 'sealed-under-present');
    assert.equal(other.status, 201);
    const attempts = [
      await broker.send('GET', bindingPath('mixed', 'sealed-under-lost')),
      await broker.bind('mixed', 'sealed-under-lost'),
    ];
    for (const { status, body } of attempts) {
      assert.equal(status, 500);
      assert.match(body.description, /encryption key/);
      assert.match(body.description, /BROKER_ENCRYPTION_KEY/);
      assert.match(body.description, /operator/);
    }
    // What the application has already works on, and so does every other binding.
    assert.ok(await credentialsWork(cluster, sealed.body.credentials));
    assert.deepEqual(
      (await broker.bind('mixed', 'sealed-under-present')).body.credentials,
      other.body.credentials,
    );
    assert.ok(await credentialsWork(cluster, other.body.credentials));
    const rotated = await broker.bind('mixed', 'successor', { predecessor_binding_id: 'sealed-under-lost' });
    assert.equal(rotated.status, 201, 'a successor needs no password of its predecessor');

    const { failed } = await command('reseal', [present, known]);
    const names = failed.map(({ binding_id }: { binding_id: string }) => binding_id).sort();
    assert.ok(names.includes('also-under-lost') && names.includes('sealed-under-lost'), names.join(', '));
    assert.ok(!names.includes('sealed-under-present'));

    // Unbinding needs no key; afterwards everything is whole.
    assert.equal((await broker.unbind('mixed', 'sealed-under-lost')).status, 200);
    assert.equal(await credentialsWork(cluster, sealed.body.credentials), false);
    assert.equal((await broker.unbind('mixed', 'also-under-lost')).status, 200);
    cluster.encryptionKey = present;
    await assertOracle(cluster, 10_000, [present]);
    await broker.kill('SIGTERM');
  });

  it('that do not fit the records end the start, until the operator says that the others are lost', async function () {
    this.timeout(120_000); // nine processes, one after the other
    const [known, other] = [cluster.encryptionKey, newEncryptionKey()];
    const first = await start([known]);
    assert.equal((await first.provision('fitting')).status, 201);
    assert.equal((await first.bind('fitting', 'sealed-under-known')).status, 201);
    await first.kill('SIGTERM');
    const refused =
      /ended while starting \(1\): The broker's records are sealed under the encryption key \w{8}, [^|]*$/;
    await assert.rejects(start([other]), refused);
    // Without a check value, as an earlier release left it, the records themselves are tried.
    await cluster.root.kv.deleteRange({ key: Buffer.from(keys.keyCheck) });
    await assert.rejects(start([other]), refused);
    await (await start([other, known])).kill('SIGTERM');
    // Reseal without a yes changes nothing where records are lost.
    assert.equal((await command('reseal', [newEncryptionKey()])).resealed, 0);
    await (await start([other])).kill('SIGTERM');
    const last = newEncryptionKey();
    await assert.rejects(start([last]), refused);
    assert.ok((await command('reseal', [last], '--yes')).failed.length > 0);
    await (await start([last])).kill('SIGTERM');
  });
});
