import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { bindingIdOf, instanceIdOf } from '../../../src/cli/bind/ids.js';
import { PASSWORD, startTestBroker, type TestBroker, USERNAME } from '../../support/broker.js';
import { runCli } from '../../support/cli.js';
import { etcdctl } from '../../support/etcd-versions.js';
import { type Credentials, connect } from '../../support/tenant.js';

const LOGIN = { BROKER_USERNAME: USERNAME, BROKER_PASSWORD: PASSWORD };

/** Runs a line of a shell that finds etcdctl as a person's shell does. */
async function shell(script: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const folder = path.dirname(await etcdctl());
  const { stdout } = await promisify(execFile)('sh', ['-euc', script], {
    env: { PATH: `${folder}:${process.env.PATH}`, ...env },
    timeout: 20_000,
  });
  return stdout.trim();
}

describe('compose-etcd-broker bind', () => {
  let broker: TestBroker;
  let home: string;
  const run = (...args: string[]) =>
    runCli(['bind', ...args], { ...LOGIN, BROKER_URL: broker.url, HOME: home });
  const bound = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0, stderr);
    return stdout;
  };

  before(async () => {
    broker = await startTestBroker({ PORTAL: 'on' });
    home = await mkdtemp(path.join(tmpdir(), "compose-etcd-broker-test-it's a home "));
  });
  after(async () => {
    await broker?.dispose();
    await rm(home, { recursive: true, force: true });
  });

  it('makes an instance and a binding, and finds both when it is called again', async () => {
    const first = JSON.parse(await bound('words')) as Credentials;
    const client = connect(first, first.uri);
    try {
      await client.put('/example/words/hello').value('world');
    } finally {
      client.close();
    }
    assert.deepEqual(JSON.parse(await bound('words')), first);
    const other = JSON.parse(await bound('words', '--binding', 'other')) as Credentials;
    assert.equal(other.deployment_id, first.deployment_id);
    assert.notEqual(other.username, first.username);
  });

  it('writes the authority and prints a line of etcdctl that works', async () => {
    const line = (await bound('words', '--output', 'etcdctl')).trim();
    assert.equal(line.split('\n').length, 1);
    assert.equal(await shell(`${line} get --print-value-only /example/words/hello`), 'world');
    const file = path.join(home, '.compose-etcd-broker', 'words.pem');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.equal((await stat(path.dirname(file))).mode & 0o777, 0o700);
  });

  it('prints exports by which etcdctl works and an application finds its etcd', async () => {
    const caFile = path.join(home, 'elsewhere', 'ca.pem');
    const exports = await bound('words', '--output', 'shell', '--ca-file', caFile);
    assert.equal(await shell(`${exports}etcdctl get --print-value-only /example/words/hello`), 'world');
    const services = JSON.parse(await shell(`${exports}printf %s "$VCAP_SERVICES"`));
    assert.equal(services['compose-for-etcd'][0].name, 'words');
  });

  it("tells of a line with uri_cli and --cacert, which works, and why uri_cli alone doesn't", async () => {
    const { stdout: help, code } = await run('--help');
    assert.equal(code, 0);
    const [, recipe = ''] = /\n {2}compose-etcd-broker bind <name> \|(.*)\n/.exec(help) ?? [];
    assert.match(recipe, /ca\.pem/);
    const json = path.join(home, 'credentials.json');
    await writeFile(json, await bound('words'));
    const { uri_cli } = JSON.parse(await bound('words')) as Credentials;
    const script = `cd "$HOME"; cat credentials.json | ${recipe}\n${uri_cli} --cacert=ca.pem get --print-value-only /example/words/hello`;
    assert.equal(await shell(script, { HOME: home }), 'world');
    await assert.rejects(
      shell(`${uri_cli} --command-timeout=2s --dial-timeout=2s get x`),
      /deadline exceeded/,
    );
  });

  it('asks for what the options say', async () => {
    await bound('words', '--binding', 'shared', '--key-space', 'shared');
    const { stdout, stderr } = await run(
      ...[
        'words',
        '--binding',
        'reader',
        '--key-space',
        'shared',
        '--access',
        'readonly',
        '--expires-in',
        '1h',
      ],
    );
    assert.match(stderr, /^These credentials stop working at \d{4}-/);
    const credentials = JSON.parse(stdout) as Credentials;
    const client = connect(credentials, credentials.uri);
    try {
      await assert.rejects(client.put('x').value('y').exec(), /permission denied/);
    } finally {
      client.close();
    }
  });

  it('refuses what the broker refuses, with its reason', async () => {
    for (const [line, reason] of [
      ['words --binding bad --key-space A/B', /^The broker refused: .*key_space/],
      ['words --access readonly', /has a binding "default" with another key space, access or expiry/],
      ['words --plan Gold', /no plan "Gold", only: Standard/],
    ] as const) {
      const { code, stdout, stderr } = await run(...line.split(' '));
      assert.equal(code, 1, line);
      assert.match(stderr, reason);
      assert.equal(stderr.trim().split('\n').length, 1);
      assert.equal(stdout, '');
    }
    assert.equal((await run('words', '--output', 'xml')).code, 2);
  });

  it('says so when credentials have stopped working, and tells what to do', async () => {
    await bound('words', '--binding', 'short', '--expires-in', '1s');
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const { code, stdout, stderr } = await run('words', '--binding', 'short', '--expires-in', '1s');
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /stopped working at .* Delete it with "bind words --binding short --delete"/);
  });

  it('deletes a binding, then the instance, and is content when there is none', async () => {
    const instance = instanceIdOf('words');
    const statusOf = async (place: string) =>
      (await broker.send('GET', `/v2/service_instances/${place}`)).status;
    const deletes = async (reason: RegExp, ...args: string[]) => {
      const { code, stdout, stderr } = await run(...args);
      assert.equal(code, 0, stderr);
      assert.match(stderr, reason);
      assert.equal(stdout, '');
    };
    const other = `${instance}/service_bindings/${bindingIdOf(instance, 'other')}`;
    assert.equal(await statusOf(other), 200);
    await deletes(/^Deleted the binding "other" of "words"/, 'words', '--binding', 'other', '--delete');
    assert.equal(await statusOf(other), 404);
    assert.equal(await statusOf(instance), 200);
    await deletes(/^There is no binding "other"/, 'words', '--binding', 'other', '--delete');
    await deletes(/^Deleted the service instance/, 'words', '--delete-instance');
    assert.equal(await statusOf(instance), 404);
    await deletes(/^There is no service instance/, 'words', '--delete-instance');
  });

  it('says what to set when the broker is not there, or does not take the password', async () => {
    const nowhere = await runCli(['bind', 'x'], { ...LOGIN, BROKER_URL: 'http://localhost:1' });
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /^No broker can be spoken to at http:\/\/localhost:1 .*BROKER_URL/);
    const stranger = { ...LOGIN, BROKER_PASSWORD: 'a-wrong-password', BROKER_URL: broker.url };
    const refused = await runCli(['bind', 'x'], stranger);
    assert.match(refused.stderr, /does not take this user and password\. Set BROKER_USERNAME/);
    assert.ok(!refused.stderr.includes('a-wrong-password'));
    const unset = await runCli(['bind', 'x'], { BROKER_URL: broker.url, DATA_DIR: home });
    assert.match(unset.stderr, /^Neither BROKER_USERNAME and BROKER_PASSWORD are set, nor does .* hold/);
    await writeFile(path.join(home, 'broker-password'), `${PASSWORD}\n`);
    // The user of that file is "broker", which is not this broker's; so what was read is refused.
    const kept = await runCli(['bind', 'x'], { BROKER_URL: broker.url, DATA_DIR: home });
    assert.match(kept.stderr, /does not take this user and password/);
  });
});

describe('compose-etcd-broker bind with a broker that takes its time', () => {
  let server: Server;
  let asked: string[];
  let lastOperations: object[];

  before(async () => {
    const answer = ({ method, url = '' }: IncomingMessage): [number, object] => {
      const place = url.split('?')[0] as string;
      if (place === '/v2/catalog') {
        return [200, { services: [{ id: 's', name: 'etcd', plans: [{ id: 'p', name: 'small' }] }] }];
      }
      if (place.endsWith('/last_operation')) {
        return [200, lastOperations.shift() ?? { state: 'succeeded' }];
      }
      if (method === 'GET') {
        const credentials = { uri: 'https://u:p@h:1', username: 'u', password: 'p' };
        return place.includes('bindings') ? [200, { credentials }] : [404, {}];
      }
      return [202, { operation: 'an operation' }];
    };
    server = createServer((request, response) => {
      const { method, url = '' } = request;
      asked.push(`${method} ${url.replaceAll(/[0-9a-f-]{36}/g, 'id')}`);
      const [status, body] = answer(request);
      request.resume();
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  beforeEach(() => {
    asked = [];
  });
  after(() => {
    server?.closeAllConnections();
    server?.close();
  });
  const run = () =>
    runCli(['bind', 'x'], {
      ...LOGIN,
      BROKER_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    });

  it('asks until the operation has ended, then fetches the binding', async () => {
    lastOperations = [{ state: 'in progress' }, { state: 'succeeded' }, { state: 'in progress' }];
    const { code, stdout, stderr } = await run();
    assert.equal(code, 0, stderr);
    assert.equal(JSON.parse(stdout).uri, 'https://u:p@h:1');
    const place = '/v2/service_instances/id';
    assert.deepEqual(asked, [
      'GET /v2/catalog',
      `GET ${place}`,
      `PUT ${place}?accepts_incomplete=true`,
      `GET ${place}/last_operation?operation=an%20operation`,
      `GET ${place}/last_operation?operation=an%20operation`,
      `PUT ${place}/service_bindings/id?accepts_incomplete=true`,
      `GET ${place}/service_bindings/id/last_operation?operation=an%20operation`,
      `GET ${place}/service_bindings/id/last_operation?operation=an%20operation`,
      `GET ${place}/service_bindings/id`,
    ]);
  });

  it('says why an operation failed', async () => {
    lastOperations = [{ state: 'failed', description: 'the disk is full' }];
    const { code, stdout, stderr } = await run();
    assert.deepEqual(
      { code, stdout, stderr },
      { code: 1, stdout: '', stderr: 'The broker failed: the disk is full\n' },
    );
  });
});
