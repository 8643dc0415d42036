import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checkExternalCluster } from '../../src/cluster/start-up-checks.js';
import { makeCertificate, makeKey } from '../../src/embedded/x509.js';
import type { EtcdClient } from '../../src/etcd/client.js';
import { startTestBroker, TestBroker } from '../support/broker.js';
import { brokerProcess } from '../support/broker-process.js';
import { freePorts, OperatorEtcd } from '../support/operator-etcd.js';
import { type Credentials, connect, type Inventory, inventory } from '../support/tenant.js';

/** What the broker must leave as it is. */
interface ClusterState extends Inventory {
  isAuthenticationOn: boolean;
  rolesOfRoot: string[];
  revision: string;
}

async function stateOf(etcd: OperatorEtcd, root: EtcdClient = etcd.connect()): Promise<ClusterState> {
  const isAuthenticationOn = await etcd.isAuthenticationOn();
  const { users, roles, keys } = await inventory(root);
  const rolesOfRoot = users.includes('root') ? (await root.auth.userGet({ name: 'root' })).roles : [];
  const { header } = await root.kv.range({ key: Buffer.from('-') });
  return { isAuthenticationOn, users, roles, keys, rolesOfRoot, revision: header.revision };
}

/** @returns the message with which the start ended, and what it said before */
async function refusal(env: Record<string, string>): Promise<{ message: string; said: string[] }> {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-test-'));
  const broker = new TestBroker(dataDir, env);
  try {
    await broker.start();
  } catch (error) {
    return { message: (error as Error).message, said: broker.said };
  } finally {
    await broker.dispose();
  }
  throw new Error('The broker started');
}

async function assertRefused(env: Record<string, string>, reason: RegExp, limitMs = 3_000): Promise<void> {
  const startedAt = performance.now();
  const { message } = await refusal(env);
  const milliseconds = performance.now() - startedAt;
  assert.match(message, reason);
  assert.ok(!message.includes('\n'), `more than one line: ${message}`);
  assert.ok(milliseconds < limitMs, `it took ${Math.round(milliseconds)} ms to say: ${message}`);
}

/** Create, bind, use, unbind, delete; nothing is left. */
async function assertServes(broker: TestBroker, etcd: OperatorEtcd): Promise<void> {
  const root = etcd.connect();
  const before = await inventory(root);
  assert.equal((await broker.provision('i')).status, 201);
  const bound = await broker.bind('i', 'b');
  assert.equal(bound.status, 201, bound.text);
  const credentials: Credentials = bound.body.credentials;
  assert.equal(new URL(credentials.uri).host, new URL(etcd.endpoint).host);
  const client = connect(credentials, credentials.uri);
  try {
    await client.put(`${credentials.key_prefix}word`).value('hello');
    assert.equal(await client.get(`${credentials.key_prefix}word`).string(), 'hello');
  } finally {
    client.close();
  }
  assert.equal((await broker.unbind('i', 'b')).status, 200);
  assert.equal((await broker.deprovision('i')).status, 200);
  assert.deepEqual(await inventory(root), before);
}

describe("An operator's own cluster", () => {
  const etcds: OperatorEtcd[] = [];
  const brokers: TestBroker[] = [];
  const start = async (options?: Parameters<typeof OperatorEtcd.start>[0]) => {
    const etcd = await OperatorEtcd.start(options);
    etcds.push(etcd);
    return etcd;
  };
  const startBroker = async (env: Record<string, string>) => {
    const broker = await startTestBroker(env);
    brokers.push(broker);
    return broker;
  };
  /** With TLS and passwords; what the tests below share, since none may change it. */
  let common: OperatorEtcd;

  before(async () => {
    common = await OperatorEtcd.start();
  });
  after(() => common?.stop());
  afterEach(async () => {
    for (const broker of brokers.splice(0)) {
      await broker.dispose();
    }
    for (const etcd of etcds.splice(0)) {
      await etcd.stop();
    }
  });

  it('serves with a password over TLS, says what was checked, and changes nothing but its own', async () => {
    const before = await stateOf(common);
    const broker = await startBroker(common.settings);
    assert.equal(broker.said.length, 6, broker.said.join('\n'));
    const [
      reachable = '',
      version = '',
      authentication = '',
      tokens = '',
      administrator = '',
      isolation = '',
    ] = broker.said;
    assert.equal(reachable, `etcd: reachable at ${common.endpoint}`);
    assert.match(version, /^etcd: version 3\.\d+\.\d+/);
    assert.equal(authentication, 'etcd: authentication is on');
    assert.equal(tokens, 'etcd: tokens are simple');
    assert.equal(administrator, 'etcd: the broker may manage users and roles');
    assert.match(isolation, /^Warning: etcd 3\.\d+\.\d+ alone does not keep tenants apart: /);
    assert.equal(`Warning: ${(await broker.send('GET', '/ready')).body.isolation}`, isolation);
    await assertServes(broker, common);
    await broker.stop();
    const { revision: _before, ...stateBefore } = before;
    const { revision: _after, ...stateAfter } = await stateOf(common);
    assert.deepEqual(stateAfter, stateBefore);
  });

  it('serves with a client certificate of root, over TLS in both directions', async () => {
    const etcd = await start({ tls: 'mutual' });
    const { ETCD_USERNAME: _user, ETCD_PASSWORD: _password, ...settings } = etcd.settings;
    const broker = await startBroker({
      ...settings,
      ETCD_CLIENT_CERT: etcd.clientCertificate as string,
      ETCD_CLIENT_KEY: etcd.clientKey as string,
    });
    assert.match(broker.said.join('\n'), /signed in by client certificate/);
    assert.equal((await broker.provision('i')).status, 201);
    const bound = await broker.bind('i', 'b');
    assert.equal(bound.status, 201, bound.text);
    assert.ok((await etcd.connect().auth.userList()).users.includes(bound.body.credentials.username));
  });

  it('serves without TLS on loopback', async () => {
    const etcd = await start({ tls: 'none' });
    const broker = await startBroker(etcd.settings);
    assert.equal((await broker.provision('i')).status, 201);
    const bound = await broker.bind('i', 'b');
    assert.equal(bound.status, 201, bound.text);
    assert.match(bound.body.credentials.uri, /^http:\/\//);
    assert.ok(!('ca_certificate_base64' in bound.body.credentials));
  });

  it('serves with authentication that the operator has it turn on', async () => {
    const etcd = await start({ authentication: false });
    const broker = await startBroker({ ...etcd.settings, ETCD_ENABLE_AUTH: 'true' });
    assert.match(broker.said.join('\n'), /authentication was off and is on now/);
    assert.ok(await etcd.isAuthenticationOn());
    await assertServes(broker, etcd);
    await broker.stop();
    // The next start finds it on.
    const again = await startBroker({ ...etcd.settings, ETCD_ENABLE_AUTH: 'true' });
    assert.doesNotMatch(again.said.join('\n'), /was off/);
  });

  describe('is refused in one line', () => {
    it('with a wrong password or user, and is left as it was', async () => {
      const before = await stateOf(common);
      const reason = /^The etcd cluster refuses ETCD_USERNAME and ETCD_PASSWORD\./;
      await assertRefused({ ...common.settings, ETCD_PASSWORD: 'a-wrong-password' }, reason);
      await assertRefused({ ...common.settings, ETCD_USERNAME: 'nobody' }, reason);
      assert.deepEqual(await stateOf(common), before);
    });

    it('when the user may not manage users', async () => {
      const { auth } = common.connect();
      await auth.userAdd({ name: 'plain', password: 'plain-password' });
      const before = await stateOf(common);
      await assertRefused(
        { ...common.settings, ETCD_USERNAME: 'plain', ETCD_PASSWORD: 'plain-password' },
        /may not manage users and roles\. Grant it the role root/,
      );
      assert.deepEqual(await stateOf(common), before);
      await auth.userDelete({ name: 'plain' });
    });

    it('when no login is given at all', async () => {
      const { ETCD_USERNAME: _user, ETCD_PASSWORD: _password, ...settings } = common.settings;
      await assertRefused(settings, /asks for a login and none is set\. Set ETCD_USERNAME and ETCD_PASSWORD/);
    });

    it('when the authority is another one, or none is given', async () => {
      const [keyPem, now] = [await makeKey(), Date.now()];
      const stranger = await makeCertificate({
        subject: 'CN=a stranger',
        keyPem,
        use: 'authority',
        notBefore: now - 60_000,
        notAfter: now + 60_000,
      });
      const reason = /verify the first certificate\b.*Check ETCD_CA_CERT/;
      await assertRefused({ ...common.settings, ETCD_CA_CERT: stranger }, reason);
      const { ETCD_CA_CERT: _authority, ...settings } = common.settings;
      await assertRefused(settings as Record<string, string>, reason);
    });

    it('when authentication is off, and it stays off', async () => {
      const etcd = await start({ authentication: false });
      const before = await stateOf(etcd);
      await assertRefused(
        etcd.settings,
        /^Authentication is off .*"etcdctl auth enable".*ETCD_ENABLE_AUTH=true/,
      );
      assert.equal(before.isAuthenticationOn, false);
      assert.deepEqual(await stateOf(etcd), before);
    });

    it('when it issues JWT tokens', async () => {
      const etcd = await start({ tokens: 'jwt' });
      const before = await stateOf(etcd);
      await assertRefused(etcd.settings, /issues JWT tokens.*--auth-token=simple/);
      assert.deepEqual(await stateOf(etcd), before);
    });

    it('when it issues JWT tokens and authentication is off, which is then as it was', async () => {
      const etcd = await start({ tokens: 'jwt', authentication: false });
      const before = await stateOf(etcd);
      await assertRefused({ ...etcd.settings, ETCD_ENABLE_AUTH: 'true' }, /issues JWT tokens/);
      assert.deepEqual(await stateOf(etcd), before);
    });

    it('when it demands a client certificate and none is given', async () => {
      const etcd = await start({ tls: 'mutual' });
      await assertRefused(etcd.settings, /wants a client certificate.*ETCD_CLIENT_CERT/);
    });

    it('when nobody listens there, or it speaks TLS and http:// was set: after 10 s, in case it starts', async () => {
      const [port] = await freePorts(1);
      const { ETCD_CA_CERT: _authority, ...settings } = common.settings;
      const unreachable = { ...common.settings, ETCD_ENDPOINTS: `https://localhost:${port}` };
      const plain = { ...settings, ETCD_ENDPOINTS: common.endpoint.replace('https:', 'http:') };
      const reason = /^The etcd cluster does not answer at https?:\/\/localhost:\d+ .*Check ETCD_ENDPOINTS/;
      await Promise.all([
        assertRefused(unreachable, reason, 12_000),
        assertRefused(plain as Record<string, string>, reason, 12_000),
      ]);
    });

    it('when it is older than 3.4', async () => {
      // No such etcd is to be had; what it says of its version is all that is looked at.
      const old = { unauthenticated: async () => ({ version: '3.3.27' }) } as unknown as EtcdClient;
      const cluster = { kind: 'external', endpoints: [common.endpoint], enableAuth: false } as const;
      const check = checkExternalCluster(
        old,
        { ...cluster, endpoints: [...cluster.endpoints], source: 'environment' },
        () => undefined,
      );
      await assert.rejects(check, { message: /^The etcd cluster has version 3\.3\.27; 3\.4 or later/ });
    });

    it('when something that is not etcd listens there', async () => {
      const server = createServer((socket) => {
        socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
        socket.resume().on('error', () => socket.destroy()); // the broker hangs up
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      try {
        const { port } = server.address() as { port: number };
        await assertRefused(
          { ...common.settings, ETCD_ENDPOINTS: `https://localhost:${port}` },
          /^The etcd cluster does not answer at .*It does not speak TLS: check ETCD_ENDPOINTS\.$/,
        );
      } finally {
        await new Promise((resolve) => server.close(resolve));
      }
    });

    it('with status 1, and the line is all that stands on standard error', async () => {
      const broker = await brokerProcess({ ...common.settings, ETCD_PASSWORD: 'a-wrong-password' });
      try {
        broker.launch();
        const { code } = await broker.outcome();
        assert.equal(code, 1);
        assert.match(
          broker.stderr,
          /^The etcd cluster refuses ETCD_USERNAME and ETCD_PASSWORD\. Check both\.\n$/,
        );
        assert.doesNotMatch(broker.stdout + broker.stderr, /a-wrong-password/);
      } finally {
        await broker.dispose();
      }
    });
  });
});
