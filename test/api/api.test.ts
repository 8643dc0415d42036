import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Validator } from '@seriousme/openapi-schema-validator';
import { bindingPath, type Reply, startTestBroker, type TestBroker } from '../support/broker.js';
import { runCli } from '../support/cli.js';
import { asTenant, type Credentials, connect } from '../support/tenant.js';
import { eventually } from '../support/time.js';
import { DescribedApi } from './support/described-api.js';

describe('The administration API', () => {
  let broker: TestBroker;
  let credentials: Credentials & { instance_administration_api: { root: string } };
  let token: string;
  let base: string;
  let deployment: string;

  const command = (...args: string[]) => runCli(['api-token', ...args], { DATA_DIR: broker.dataDir });
  /** Every answer is held to what the API says of itself. */
  let described: DescribedApi;
  async function ask(method: string, path: string, body?: object, bearer = token) {
    const reply = await broker.send(method, path, {
      headers: { authorization: `Bearer ${bearer}`, 'x-broker-api-version': undefined },
      ...(body && { body }),
    });
    described.assertDescribed(method, path, reply);
    return reply;
  }
  async function ended(recipe: { id: string }) {
    for (;;) {
      const { status, body } = await ask('GET', `${base}/recipes/${recipe.id}`);
      assert.equal(status, 200);
      if (body.status !== 'running') {
        return body;
      }
      await sleep(20);
    }
  }

  before(async () => {
    broker = await startTestBroker({ PORTAL: 'on' });
    for (const id of ['i', 'other']) {
      await broker.provision(id);
    }
    credentials = (await broker.bind('i', 'b', { parameters: { key_space: 'config' } })).body.credentials;
    await asTenant(credentials, async (client) => {
      await client.put('k').value('v');
    });
    described = new DescribedApi((await broker.send('GET', '/api/openapi.json')).body);
    token = JSON.parse((await command('i', '--json', '--description', 'tests')).stdout).token;
    broker.secrets.add(token);
    const { root } = credentials.instance_administration_api;
    assert.equal(new URL(root).pathname, '/api');
    base = '/api/2016-07/instances/i';
    deployment = `${base}/deployments/${credentials.deployment_id}`;
  });
  after(() => broker?.dispose());

  it('takes a token of the instance, and nothing else', async () => {
    const other = JSON.parse((await command('other', '--json')).stdout).token;
    broker.secrets.add(other);
    for (const [path, bearer] of [
      [`${base}/deployments`, 'wrong'],
      [`${base}/deployments`, other],
      ['/api/2016-07/instances/none/deployments', token],
      [`${base}/deployments`, ''],
    ] as const) {
      const { status, body, headers } = await ask('GET', path, undefined, bearer);
      assert.equal(status, 401, path);
      assert.deepEqual(Object.keys(body), ['errors']);
      assert.match(String(headers['www-authenticate']), /^Bearer/);
    }
    // The platform's own credentials are for the platform.
    assert.equal((await broker.send('GET', `${base}/deployments`)).status, 401);
    assert.equal((await ask('GET', `${base}/deployments/${'0'.repeat(24)}`)).status, 404);
  });

  it('tells of the deployment as Compose did', async () => {
    const { status, body, headers } = await ask('GET', `${base}/deployments`);
    assert.equal(status, 200);
    assert.match(String(headers['content-type']), /^application\/hal\+json/);
    const [one] = body._embedded.deployments;
    assert.deepEqual([one.id, one.type, one.name], [credentials.deployment_id, 'etcd', 'bmix-local-yp-i']);
    assert.match(one.version, /^3\.\d+\.\d+$/);
    assert.deepEqual(one.connection_strings.direct, broker.application.endpoints);
    assert.doesNotMatch(JSON.stringify(body), new RegExp(credentials.password));
    assert.deepEqual((await ask('GET', deployment)).body, one);
    assert.deepEqual((await ask('GET', `${deployment}/versions`)).body, { _embedded: { transitions: [] } });
  });

  it('scales', async () => {
    const { status, body } = await ask('POST', `${deployment}/scalings`, { deployment: { units: 3 } });
    assert.equal(status, 202);
    assert.deepEqual([body.status, body.deployment_id], ['complete', credentials.deployment_id]);
    assert.deepEqual((await ask('GET', `${deployment}/scalings`)).body, {
      allocated_units: 3,
      used_units: 0,
      starting_units: 1,
      minimum_units: 1,
      memory_per_unit_in_mb: 256,
      storage_per_unit_in_mb: 256,
      unit_size_in_mb: 256,
      unit_type: 'data',
    });
    assert.equal((await ask('GET', `${base}/recipes/${body.id}`)).body.id, body.id);
    const [latest] = (await ask('GET', `${deployment}/recipes`)).body._embedded.recipes;
    assert.equal(latest.id, body.id);
    for (const bad of [{}, { deployment: { units: 0 } }, { deployment: { units: 65 } }, { deployment: 7 }]) {
      const refused = await ask('POST', `${deployment}/scalings`, bad);
      assert.equal(refused.status, 400, JSON.stringify(bad));
      assert.match(refused.body.errors, /units|deployment must be|deployment is missing/);
    }
  });

  it('makes a backup, downloads it and restores it', async () => {
    const { status, body } = await ask('POST', `${deployment}/backups`);
    assert.equal(status, 202);
    assert.equal((await ended(body)).status, 'complete');
    const [backup] = (await ask('GET', `${deployment}/backups`)).body._embedded.backups;
    assert.deepEqual([backup.type, backup.status, backup.is_restorable], ['on_demand', 'complete', true]);
    assert.deepEqual((await ask('GET', `${deployment}/backups/${backup.id}`)).body, backup);
    const downloaded = await ask('GET', new URL(backup.download_link).pathname);
    assert.equal(downloaded.text, '{"key_space":"config","key":"k","value":"v"}\n');
    await asTenant(credentials, async (client) => {
      await client.put('k').value('changed');
    });
    const restoring = await ask('POST', `${deployment}/backups/${backup.id}/restore`);
    assert.equal(restoring.status, 202, restoring.text);
    assert.equal((await ended(restoring.body)).status, 'complete');
    assert.equal(await asTenant(credentials, (client) => client.get('k').string()), 'v');
    assert.equal((await ask('GET', `${deployment}/backups/${'0'.repeat(24)}`)).status, 404);
  });

  it('edits the whitelist', async () => {
    const entry = { ip: '127.0.0.0/8', description: 'here' };
    assert.equal(
      (await ask('POST', `${deployment}/whitelist`, { deployment: { whitelist: entry } })).status,
      202,
    );
    const [one] = (await ask('GET', `${deployment}/whitelist`)).body._embedded.whitelist;
    assert.deepEqual({ ip: one.ip, description: one.description }, entry);
    const refused = await ask('POST', `${deployment}/whitelist`, { whitelist: { ip: 'nowhere' } });
    assert.equal(refused.status, 400);
    assert.equal((await ask('DELETE', `${deployment}/whitelist/${one.id}`)).status, 202);
    assert.equal((await ask('DELETE', `${deployment}/whitelist/${one.id}`)).status, 404);
    assert.deepEqual((await ask('GET', `${deployment}/whitelist`)).body._embedded.whitelist, []);
  });

  it('tells of key spaces, bindings and usage, and of no secret', async () => {
    assert.deepEqual((await ask('GET', `${deployment}/key_spaces`)).body._embedded.key_spaces, [
      { name: 'config', keys: 1 },
    ]);
    const bindings = await ask('GET', `${deployment}/bindings`);
    const [one] = bindings.body._embedded.bindings;
    assert.deepEqual([one.id, one.key_space, one.username], ['b', 'config', credentials.username]);
    assert.doesNotMatch(bindings.text, /password|sealed/);
    for (const [range, points] of [
      ['', 30],
      ['?range=24h', 288],
      ['?range=30d', 720],
    ] as const) {
      const { status, body } = await ask('GET', `${deployment}/usage${range}`);
      assert.equal(status, 200);
      assert.ok(body.points.length >= points && body.points.length <= points + 1, range);
      assert.equal(body.quota_bytes, 3 * (256 << 20));
    }
    const refused = await ask('GET', `${deployment}/usage?range=1y`);
    assert.deepEqual([refused.status, /range/.test(refused.body.errors)], [400, true]);
  });

  it("rotates a binding's password: the old one ends, the new one works, keys stay", async () => {
    const other: Credentials = (await broker.bind('i', 'rotated', { parameters: { key_space: 'config' } }))
      .body.credentials;
    const client = connect(other, other.uri);
    assert.equal(await client.get('k').string(), 'v');
    const watcher = await client.watch().key('k').create();
    const cut = new Promise((resolve) => watcher.once('disconnected', resolve));
    for (let round = 0; round < 2; round += 1) {
      const { status, body } = await ask('POST', `${deployment}/bindings/rotated/rotate`);
      assert.equal(status, 200);
      assert.equal(body.recipe.status, 'complete');
      const rotated: Credentials = body.credentials;
      broker.secrets.add(rotated.password);
      assert.deepEqual(
        { ...rotated, password: '', uri: '', uri_direct_1: '', uri_cli: '' },
        {
          ...other,
          ...{ password: '', uri: '', uri_direct_1: '', uri_cli: '' },
        },
      );
      assert.notEqual(rotated.password, other.password);
      const fetched = await broker.send('GET', bindingPath('i', 'rotated'));
      assert.deepEqual(fetched.body.credentials, rotated);
      await eventually(async () => {
        assert.equal(await asTenant(rotated, (each) => each.get('k').string()), 'v');
      });
      await assert.rejects(
        asTenant(other, (each) => each.get('k').string()),
        /authentication failed/,
      );
      assert.equal((await ask('GET', `${base}/recipes/${body.recipe.id}`)).body.name, 'rotate');
    }
    await cut;
    client.close();
    assert.equal((await ask('POST', `${deployment}/bindings/none/rotate`)).status, 404);
    await broker.unbind('i', 'rotated');
    assert.equal((await runCli(['check'], { DATA_DIR: broker.dataDir })).code, 0);
  });

  it('takes the token of a binding that asked for one, until the binding ends', async () => {
    const bound = await broker.bind('i', 'administers', { parameters: { administration: true } });
    const { token: own } = bound.body.credentials.instance_administration_api;
    broker.secrets.add(own);
    assert.equal('token' in credentials.instance_administration_api, false);
    assert.equal((await ask('GET', `${base}/deployments`, undefined, own)).status, 200);
    for (const [path, bearer] of [
      ['/api/2016-07/instances/other/deployments', own],
      [`${base}/deployments`, `${own.slice(0, -1)}${own.endsWith('A') ? 'B' : 'A'}`],
      // That of a binding that asked for none would begin like this.
      [`${base}/deployments`, own.replace(/^b\.[^.]+/, `b.${Buffer.from('b').toString('base64url')}`)],
    ] as const) {
      assert.equal((await ask('GET', path, undefined, bearer)).status, 401, path);
    }
    const again = await ask('POST', `${deployment}/bindings/administers/rotate`, undefined, own);
    const { token: next } = again.body.credentials.instance_administration_api;
    broker.secrets.add(next);
    assert.equal((await ask('GET', `${base}/deployments`, undefined, own)).status, 401);
    assert.equal((await ask('GET', `${base}/deployments`, undefined, next)).status, 200);
    await broker.unbind('i', 'administers');
    assert.equal((await ask('GET', `${base}/deployments`, undefined, next)).status, 401);
  });

  it('describes itself to everybody, in a valid OpenAPI document', async () => {
    const { status, body } = await broker.send('GET', '/api/openapi.json', {
      headers: { authorization: undefined, 'x-broker-api-version': undefined },
    });
    assert.equal(status, 200);
    const { valid, errors } = await new Validator().validate(body);
    assert.ok(valid, JSON.stringify(errors));
    assert.deepEqual(body.servers, [{ url: credentials.instance_administration_api.root }]);
    assert.equal(Object.keys(body.paths).length, 17);
  });

  it("serves an old script for Compose's API unchanged", async () => {
    const script = path.join(import.meta.dirname, '../../../test/api/old-script.sh');
    const { root } = credentials.instance_administration_api;
    await broker.provision('scripted');
    const { credentials: own } = (await broker.bind('scripted', 'b')).body;
    await asTenant(own, (client) => client.put('k').value('v').exec());
    const made = JSON.parse((await command('scripted', '--json')).stdout).token;
    broker.secrets.add(made);
    const { stdout } = await promisify(execFile)(
      'sh',
      [script, `${root}/2016-07/instances/scripted`, own.deployment_id, made],
      { timeout: 60_000 },
    );
    assert.deepEqual(stdout.trim().split('\n'), [
      `deployment ${own.deployment_id}`,
      'type etcd',
      'units 1',
      'units 2',
      'recipe is listed',
      'backup on_demand',
      'downloaded 1 lines',
      'restored',
      'whitelist 127.0.0.0/8',
      'whitelist is empty',
      'no other version',
    ]);
  });

  it('turns a token away that is used too often, and no other', async () => {
    const made = JSON.parse((await command('other', '--json')).stdout).token;
    broker.secrets.add(made);
    const url = '/api/2016-07/instances/other/deployments';
    let last: Reply | undefined;
    for (let count = 0; count < 700 && last?.status !== 429; count += 1) {
      last = await ask('GET', url, undefined, made);
    }
    assert.equal(last?.status, 429);
    assert.ok(Number(last?.headers['retry-after']) > 0);
    assert.equal((await ask('GET', `${base}/deployments`)).status, 200);
  });

  it('answers nonsense with JSON that says what is wrong', async () => {
    for (const [method, path, status] of [
      ['GET', '/api', 404],
      ['GET', '/api/2016-07/nothing', 404],
      ['GET', `${deployment}/nothing`, 404],
      ['GET', `${base}/recipes/none`, 404],
      ['GET', '/api/2016-07/instances/%ff/deployments', 400],
    ] as const) {
      const reply = await ask(method, path);
      assert.equal(reply.status, status, path);
      assert.equal(typeof reply.body.errors, 'string', path);
    }
    const { status, body } = await broker.send('POST', `${deployment}/scalings`, {
      headers: { authorization: `Bearer ${token}` },
      body: '{"deployment":',
    });
    assert.deepEqual([status, body.errors], [400, 'The body is not valid JSON.']);
  });

  it('forgets a token that was revoked, and those of an instance that is deleted', async () => {
    const made = JSON.parse((await command('other', '--json')).stdout);
    const listed = JSON.parse((await command('other', '--list', '--json')).stdout).tokens;
    assert.ok(listed.some(({ id }: { id: string }) => id === made.id));
    assert.doesNotMatch(JSON.stringify(listed), new RegExp(made.token));
    const path = '/api/2016-07/instances/other/deployments';
    assert.equal((await ask('GET', path, undefined, made.token)).status, 200);
    assert.equal((await command('other', '--revoke', made.id)).code, 0);
    assert.equal((await command('other', '--revoke', made.id)).code, 1);
    assert.equal((await ask('GET', path, undefined, made.token)).status, 401);
    const left = JSON.parse((await command('other', '--json')).stdout);
    await broker.deprovision('other');
    await broker.provision('other');
    assert.equal((await ask('GET', path, undefined, left.token)).status, 401);
    assert.match((await command('none')).stderr, /There is no instance "none"/);
    assert.equal((await command()).code, 2);
  });

  it('turns an address away that guesses', async () => {
    let last = 0;
    for (let count = 0; count < 70 && last !== 429; count += 1) {
      last = (await ask('GET', `${base}/deployments`, undefined, `guess-${count}`)).status;
    }
    assert.equal(last, 429);
    assert.equal(
      (await ask('GET', `${base}/deployments`)).status,
      429,
      'right tokens too: nothing is learned',
    );
  });
});
