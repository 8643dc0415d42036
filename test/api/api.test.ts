import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { runCli } from '../support/cli.js';
import { asTenant, type Credentials } from '../support/tenant.js';

describe('The administration API', () => {
  let broker: TestBroker;
  let credentials: Credentials & { instance_administration_api: { root: string } };
  let token: string;
  let base: string;
  let deployment: string;

  const command = (...args: string[]) => runCli(['api-token', ...args], { DATA_DIR: broker.dataDir });
  const ask = (method: string, path: string, body?: object, bearer = token) =>
    broker.send(method, path, {
      headers: { authorization: `Bearer ${bearer}`, 'x-broker-api-version': undefined },
      ...(body && { body }),
    });
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
      assert.match(refused.body.errors, /units/);
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
