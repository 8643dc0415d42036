import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { bindingPath, PASSWORD, USERNAME } from '../support/broker.js';
import { type BrokerProcess, brokerProcess } from '../support/broker-process.js';
import { freePorts, OperatorEtcd } from '../support/operator-etcd.js';
import { type Credentials, connect } from '../support/tenant.js';

const DEMO = path.resolve(import.meta.dirname, '../demo.js');

describe('The life of a broker process', () => {
  const brokers: BrokerProcess[] = [];
  const make = async (env?: Record<string, string>) => {
    const broker = await brokerProcess(env);
    brokers.push(broker);
    return broker;
  };
  afterEach(async () => {
    for (const broker of brokers.splice(0)) {
      await broker.dispose();
    }
  });

  it('with no setting at all: the password is shown once, the printed line works, the second start is quick', async () => {
    const broker = await make({ BROKER_USERNAME: '', BROKER_PASSWORD: '' });
    await broker.start();
    const [, password] = /password: (\S+) \(shown once/.exec(broker.stdout) ?? [];
    assert.ok(password !== undefined, broker.stdout);
    const file = path.join(broker.dataDir, 'broker-password');
    assert.equal((await readFile(file, 'utf8')).trim(), password);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const authorization = `Basic ${Buffer.from(`broker:${password}`).toString('base64')}`;
    const options = { headers: { authorization } };
    assert.equal((await broker.send('GET', '/v2/catalog', options)).status, 200);
    assert.equal((await broker.send('GET', '/v2/catalog')).status, 401);
    assert.deepEqual(pick(await broker.end('SIGTERM')), { code: 0, signal: null });
    assert.deepEqual(await broker.etcds(), []);

    const startedAt = performance.now();
    await broker.start();
    assert.equal((await broker.send('GET', '/v2/catalog', options)).status, 200);
    const milliseconds = performance.now() - startedAt;
    console.log(`      the second start answers after ${Math.round(milliseconds)} ms`);
    assert.ok(milliseconds < 3_000, `the second start took ${Math.round(milliseconds)} ms`);
    assert.ok(!(broker.stdout + broker.stderr).includes(password), 'the password is shown again');
    assert.match(broker.stdout, /password: kept in /);
    const line = /^ +(curl .*)$/m.exec(broker.stdout)?.[1];
    assert.ok(line !== undefined, broker.stdout);
    if (await hasCurl()) {
      const { stdout } = await promisify(execFile)('sh', ['-c', line.replace('curl ', 'curl -sS ')]);
      assert.equal(JSON.parse(stdout).services.length, 1);
    }
  });

  it('SIGINT ends it and its etcd with status 0', async () => {
    const broker = await make();
    await broker.start();
    assert.equal((await broker.etcds()).length, 1);
    assert.deepEqual(pick(await broker.end('SIGINT')), { code: 0, signal: null });
    assert.deepEqual(await broker.etcds(), []);
    assert.equal(broker.stderr, '');
  });

  it('SIGTERM to npm ends the broker that `npm start` runs, and its etcd, with status 0', async () => {
    const broker = await make();
    broker.command = ['npm', 'start', '--silent'];
    await broker.start();
    assert.equal((await broker.etcds()).length, 1);
    assert.deepEqual(pick(await broker.end('SIGTERM')), { code: 0, signal: null });
    assert.deepEqual(await broker.etcds(), []);
    await assert.rejects(broker.send('GET', '/health'), { code: 'ECONNREFUSED' });
  });

  it('the command can be run as it was built, and says its version', async () => {
    const program = path.resolve(import.meta.dirname, '../../src/cli.js');
    const { stdout } = await promisify(execFile)(program, ['--version']);
    const { version } = JSON.parse(
      await readFile(path.resolve(import.meta.dirname, '../../../package.json'), 'utf8'),
    );
    assert.equal(stdout, `${version}\n`);
  });

  it('an embedded start listens on loopback only, unless told otherwise', async () => {
    const { port, address } = await outerAddress();
    const reach = () => fetch(`http://${address}:${port}/health`).then(({ status }) => status);
    const broker = await make({ PORT: String(port) });
    await broker.start();
    assert.equal((await broker.send('GET', '/health')).status, 200);
    await assert.rejects(reach());
    await broker.end('SIGTERM');
    const open = await make({ PORT: String(port), HOST: '0.0.0.0' });
    await open.start();
    assert.equal(await reach(), 200);
  });

  it('SIGKILL leaves no etcd in the way of the next start, and nothing is lost', async () => {
    const broker = await make({ PUBLIC_URL: 'https://broker.example.com' });
    await broker.start();
    assert.equal((await broker.provision('i')).status, 201);
    const bound = await broker.bind('i', 'b');
    const before: Credentials = bound.body.credentials;
    const client = connect(before, before.uri);
    await client.put(`${before.key_prefix}word`).value('kept');
    client.close();
    assert.equal((await broker.end('SIGKILL')).signal, 'SIGKILL');
    const startedAt = performance.now();
    await broker.start();
    console.log(`      the start after SIGKILL took ${Math.round(performance.now() - startedAt)} ms`);
    const again = await broker.bind('i', 'b');
    assert.equal(again.status, 200, again.text);
    assert.deepEqual(again.body.credentials, before);
    const later = connect(before, before.uri);
    try {
      assert.equal(await later.get(`${before.key_prefix}word`).string(), 'kept');
    } finally {
      later.close();
    }
  });

  it('a bind that is under way at SIGTERM is answered, then the connection is closed', async () => {
    const etcd = await OperatorEtcd.start();
    try {
      const broker = await make(etcd.settings);
      await broker.start();
      assert.equal((await broker.provision('i')).status, 201);
      const agent = new Agent({ keepAlive: true });
      // While etcd stands still the bind can't end before the signal.
      etcd.freeze();
      const answer = bindOver(broker, agent, 'b');
      await sleep(200);
      broker.child.kill('SIGTERM');
      await sleep(300);
      await assert.rejects(broker.send('GET', '/health'), { code: 'ECONNREFUSED' });
      etcd.thaw();
      const { status, headers, body } = await answer;
      assert.equal(status, 201, body);
      assert.equal(headers.connection, 'close');
      const { code, milliseconds } = await broker.outcome();
      assert.equal(code, 0);
      assert.ok(milliseconds < 15_000);
      const credentials: Credentials = JSON.parse(body).credentials;
      const client = connect(credentials, credentials.uri);
      await client.put(`${credentials.key_prefix}word`).value('works');
      client.close();
      agent.destroy();
    } finally {
      await etcd.stop();
    }
  });

  it('idle connections do not hold up the end', async () => {
    const broker = await make();
    await broker.start();
    const agent = new Agent({ keepAlive: true });
    await new Promise<void>((resolve, reject) => {
      const { hostname, port } = new URL(broker.url);
      const request = httpRequest({ agent, hostname, port, path: '/health' }, (response) => {
        response.resume().on('end', resolve);
      });
      request.on('error', reject).end();
    });
    const startedAt = performance.now();
    assert.equal((await broker.end('SIGTERM')).code, 0);
    assert.ok(performance.now() - startedAt < 3_000);
    agent.destroy();
  });

  // Draining lasts half a minute.
  it('an etcd that hangs does not keep the broker alive; the bind is finished by the next one', async function () {
    if (process.env.TEST_LONG_DRAIN !== 'true') {
      this.skip();
    }
    this.timeout(120_000);
    for (const kind of ['external', 'embedded']) {
      const etcd = kind === 'external' ? await OperatorEtcd.start() : undefined;
      try {
        const broker = await make(etcd?.settings);
        await broker.start();
        assert.equal((await broker.provision('i')).status, 201);
        const pid = etcd?.pid ?? (await broker.etcds())[0];
        process.kill(pid as number, 'SIGSTOP');
        const answer = broker.bind('i', 'b').catch(() => undefined);
        await sleep(500);
        const startedAt = performance.now();
        const { code } = await broker.end('SIGTERM');
        const milliseconds = performance.now() - startedAt;
        console.log(`      ${kind}: ended after ${Math.round(milliseconds)} ms`);
        assert.equal(code, 0);
        assert.ok(milliseconds < 40_000);
        await answer;
        etcd?.thaw();
        await broker.start();
        const again = await broker.bind('i', 'b');
        assert.match(String(again.status), /^20[01]$/, again.text);
      } finally {
        await etcd?.stop();
      }
    }
  });

  describe('ends with status 1 and one line', () => {
    async function refusal(env: Record<string, string>): Promise<{ stderr: string; milliseconds: number }> {
      const broker = await make(env);
      broker.launch();
      const { code, milliseconds } = await broker.outcome();
      assert.equal(code, 1, broker.stderr);
      assert.match(broker.stderr, /^[^\n]+\n$/);
      assert.deepEqual(await broker.etcds(), []);
      return { stderr: broker.stderr, milliseconds };
    }

    it('when the port is in use', async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, resolve));
      try {
        const { port } = server.address() as { port: number };
        const { stderr } = await refusal({ PORT: String(port) });
        assert.match(stderr, new RegExp(`^The port ${port} is in use; set PORT to another one`));
      } finally {
        server.close();
      }
    });

    it('when a setting is wrong, within a second', async () => {
      const { stderr, milliseconds } = await refusal({ LOG_LEVEL: 'loud' });
      assert.match(stderr, /^LOG_LEVEL must be one of .*, not "loud"\.\n$/);
      // Twice the promise, since other tests may be at work too.
      assert.ok(milliseconds < 2_000, `it took ${Math.round(milliseconds)} ms`);
    });

    it('when the catalog is broken', async () => {
      const broker = await make();
      const catalog = path.join(broker.dataDir, 'catalog.json');
      await writeFile(catalog, '{"services": [{"name": "x",}]}');
      assert.match((await refusal({ CATALOG: catalog })).stderr, /catalog\.json:1:28: it is not JSON/);
      await writeFile(catalog, '{"services": [{"name": "x"}]}');
      assert.match((await refusal({ CATALOG: catalog })).stderr, /catalog\.json.*services/);
      assert.match((await refusal({ CATALOG: '/nowhere/catalog.json' })).stderr, /\/nowhere\/catalog\.json/);
    });

    it('when another broker has the data folder', async () => {
      const broker = await make();
      await broker.start();
      assert.match((await refusal({ DATA_DIR: broker.dataDir })).stderr, /^DATA_DIR .* is in use/);
    }).timeout(20_000);
  });

  it('the demo tells the whole story in less than 20 s and shows no password', async () => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [DEMO], { timeout: 40_000 });
    const lines = stdout.trimEnd().split('\n');
    assert.equal(stderr, '');
    assert.equal(lines.length, 15, stdout);
    for (const line of lines) {
      assert.match(line, /^ *\d+ ms {2}\S/);
    }
    const total = Number(/(\d+) ms {2}in all/.exec(stdout)?.[1]);
    assert.ok(total < 20_000, `it took ${total} ms`);
    assert.ok(!stdout.includes(PASSWORD));
    assert.doesNotMatch(stdout, /password|[\w-]{24}/i);
  });

  it('a demo whose etcd can not be started, or that is interrupted, says at which step and ends with 1', async () => {
    const failed = await runDemo({ ETCD_BINARY: '/nowhere/etcd' });
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /^Failed: start the broker and its etcd: .*ETCD_BINARY/);
    const interrupted = await runDemo({}, 'SIGINT');
    assert.equal(interrupted.code, 1);
    assert.match(interrupted.stderr, /^Interrupted at: \S/);
  });
});

/** Runs the demo; where a signal is given, it gets it in the middle. */
async function runDemo(
  env: Record<string, string>,
  signal?: NodeJS.Signals,
): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(process.execPath, [DEMO], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout.once('data', () => signal && child.kill(signal));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stderr };
}

/** A free port, and an address of this machine that is not loopback. */
async function outerAddress(): Promise<{ port: number; address: string }> {
  const outer = Object.values(networkInterfaces())
    .flat()
    .find((each) => each?.family === 'IPv4' && !each.internal);
  const [port] = await freePorts(1);
  // Without one the whole of 127.0.0.0/8 still is this machine, and another address than 127.0.0.1.
  return { port: port as number, address: outer?.address ?? '127.0.0.2' };
}

function bindOver(
  broker: BrokerProcess,
  agent: Agent,
  binding: string,
): Promise<{ status: number | undefined; headers: IncomingHttpHeaders; body: string }> {
  const { hostname, port } = new URL(broker.url);
  const text = JSON.stringify(broker.bindBody());
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        agent,
        hostname,
        port,
        method: 'PUT',
        path: bindingPath('i', binding),
        headers: {
          authorization: `Basic ${Buffer.from(`${USERNAME}:${PASSWORD}`).toString('base64')}`,
          'x-broker-api-version': '2.17',
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(text),
        },
      },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          body += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
      },
    );
    request.on('error', reject);
    request.end(text);
  });
}

function pick({ code, signal }: { code: number | null; signal: NodeJS.Signals | null }) {
  return { code, signal };
}

function hasCurl(): Promise<boolean> {
  return promisify(execFile)('curl', ['--version']).then(
    () => true,
    () => false,
  );
}
