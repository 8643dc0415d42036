import assert from 'node:assert/strict';
import path from 'node:path';
import type { Etcd3 } from 'etcd3';
import { bindingPath, PASSWORD, startTestBroker, type TestBroker, USERNAME } from '../support/broker.js';
import { runCli } from '../support/cli.js';
import { availableEtcds, etcdctl } from '../support/etcd-versions.js';
import { ENCRYPTION_KEY, freePorts } from '../support/operator-etcd.js';
import { PortalProcess } from '../support/portal-process.js';
import { type Credentials, connect } from '../support/tenant.js';
import { emptyFolder, remove } from './support/folders.js';
import { MemberCluster } from './support/member-cluster.js';

const ROOT_PASSWORD = 'the-root-password';
const ROOT = `--user=root:${ROOT_PASSWORD}`;
const KEY = '/example/words/hello';

/** The runbook of docs/operating.md, "Restore", step by step. */
describe('A cluster that is lost and restored from a snapshot', () => {
  let folder: string;
  let cluster: MemberCluster;
  let settings: Record<string, string>;
  let broker: TestBroker;
  let portal: PortalProcess;
  let login: { username: string; password: string } | undefined;
  const clients: Etcd3[] = [];
  const bound = new Map<string, Credentials>();

  const startAll = async () => {
    broker = await startTestBroker(settings);
    const { ETCD_USERNAME: _user, ETCD_PASSWORD: _password, ...rest } = settings;
    portal = await PortalProcess.start({ ...rest, ...(await portalLogin()) });
  };
  /** The portals' user is in the snapshot, so it is made once. */
  const portalLogin = async () => {
    if (login === undefined) {
      const made = await runCli(['portal-access', '--json'], settings);
      assert.equal(made.code, 0, made.stderr);
      login = JSON.parse(made.stdout) as { username: string; password: string };
    }
    return {
      PORTAL_LISTEN: new URL(settings.PORTAL_ENDPOINTS as string).host,
      PORTAL_ETCD_USERNAME: login.username,
      PORTAL_ETCD_PASSWORD: login.password,
    };
  };
  const bind = async (id: string) => {
    const { status, text, body } = await broker.bind('i', id);
    assert.equal(status, 201, text);
    bound.set(id, body.credentials);
  };
  const client = (id: string) => {
    const credentials = bound.get(id) as Credentials;
    const opened = connect(credentials, credentials.uri);
    clients.push(opened);
    return opened;
  };

  before(async function () {
    this.timeout(120_000);
    folder = await emptyFolder();
    const [etcd] = await availableEtcds();
    cluster = await MemberCluster.plan(folder, etcd?.path as string, await etcdctl());
    await cluster.start('compose-etcd-1');
    await cluster.control('user', 'add', `root:${ROOT_PASSWORD}`);
    await cluster.control('role', 'add', 'root');
    await cluster.control('user', 'grant-role', 'root', 'root');
    await cluster.control('auth', 'enable');
    const [port] = await freePorts(1);
    settings = {
      ETCD_ENDPOINTS: cluster.endpoints,
      ETCD_USERNAME: 'root',
      ETCD_PASSWORD: ROOT_PASSWORD,
      BROKER_ENCRYPTION_KEY: ENCRYPTION_KEY,
      BROKER_USERNAME: USERNAME,
      BROKER_PASSWORD: PASSWORD,
      PORTAL: 'on',
      PUBLIC_URL: 'https://broker.example.com',
      PORTAL_ENDPOINTS: `https://localhost:${port}`,
    };
    await startAll();
    await broker.provision('i');
  });
  after(async () => {
    for (const each of clients) {
      each.close();
    }
    await portal?.end('SIGKILL');
    await broker?.dispose();
    await cluster?.stop();
    await remove(folder);
  });

  it('serves what it held at the time of the snapshot, to the credentials of then', async function () {
    this.timeout(120_000);
    await bind('before');
    await bind('unbound later');
    await client('before').put(KEY).value('at the snapshot');
    await client('unbound later').put(KEY).value('at the snapshot, too');

    const snapshot = path.join(folder, 'snapshot.db');
    await cluster.controlOne(ROOT, 'snapshot', 'save', snapshot);

    await client('before').put(KEY).value('after the snapshot');
    await bind('after');
    assert.equal((await broker.unbind('i', 'unbound later')).status, 200);

    await portal.end('SIGTERM');
    await broker.dispose();
    await cluster.lose();
    await cluster.restore(snapshot, 'compose-etcd-2', cluster.etcdctl);
    // The snapshot holds the users too, and authentication is on.
    await cluster.start('compose-etcd-2', ROOT);
    await startAll();

    assert.equal(await client('before').get(KEY).string(), 'at the snapshot');
    assert.equal(await client('unbound later').get(KEY).string(), 'at the snapshot, too');
    await client('before').put(KEY).value('after the restore');
    await assert.rejects(
      () => client('after').get(KEY).string(),
      /authentication failed|invalid user ID or password/,
    );

    // The platform's view: what it bound since is unknown, what it bound before is as it was.
    const fetched = await broker.send('GET', bindingPath('i', 'before'));
    assert.deepEqual(fetched.body.credentials, bound.get('before'));
    assert.equal((await broker.send('GET', bindingPath('i', 'after'))).status, 404);
    assert.equal((await broker.unbind('i', 'after')).status, 410);
    assert.equal((await broker.unbind('i', 'unbound later')).status, 200);
    await bind('once more');
    await client('once more').put(KEY).value('anew');

    const check = await runCli(['check', '--all'], settings);
    assert.equal(check.code, 0, `${check.stdout}${check.stderr}`);
  });

  it('takes other users for brokers and portals, one process after the other', async function () {
    this.timeout(60_000);
    await bind('before the rotation');
    await cluster.control(ROOT, 'user', 'add', 'operator:another-password');
    await cluster.control(ROOT, 'user', 'grant-role', 'operator', 'root');
    settings = { ...settings, ETCD_USERNAME: 'operator', ETCD_PASSWORD: 'another-password' };
    const old = login?.username as string;
    login = { username: 'portal-2', password: 'a-password-of-the-portals' };
    const { PORTAL_LISTEN: _listen, ...names } = await portalLogin();
    const access = await runCli(['portal-access'], { ...settings, ...names });
    assert.equal(access.code, 0, access.stderr);

    await portal.end('SIGTERM');
    await broker.dispose();
    await startAll();
    const root = '--user=operator:another-password';
    await cluster.control(root, 'user', 'delete', old);
    await cluster.control(root, 'role', 'delete', old);

    await client('before the rotation').put(KEY).value('works on');
    await bind('after the rotation');
    const check = await runCli(['check', '--all'], settings);
    assert.equal(check.code, 0, `${check.stdout}${check.stderr}`);
  });
});
