import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { ASKED_EVERY_MS } from '../../src/dashboard/platform-entry.js';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { TestBrowser } from '../support/browser.js';
import { runCli } from '../support/cli.js';
import { freePorts } from '../support/operator-etcd.js';
import { send, TestPlatform } from '../support/platform.js';
import { Visitor } from './support/visitor.js';

const SECRET = 'the secret of the dashboard';
const UNKNOWN = '0'.repeat(24);

describe('Signing in at Cloud Foundry', () => {
  let cloud: TestPlatform;
  let broker: TestBroker;
  let dashboardUrl: string;
  let home: string;

  before(async () => {
    const [port] = await freePorts(1);
    const url = `http://localhost:${port}`;
    cloud = await TestPlatform.start({
      id: 'compose-etcd-dashboard',
      secret: SECRET,
      redirectUri: `${url}/dashboard/callback`,
    });
    broker = await startTestBroker({
      PORT: String(port),
      CF_API_URL: cloud.api.url,
      DASHBOARD_CLIENT_SECRET: SECRET,
    });
    broker.secrets.add(SECRET);
    dashboardUrl = (await broker.provision('an-instance')).body.dashboard_url;
    home = new URL(dashboardUrl).pathname;
  });
  after(async () => {
    await broker?.dispose();
    await cloud?.stop();
  });
  beforeEach(() => {
    cloud.allows = true;
    cloud.permissions.clear();
    cloud.permissions.set('an-instance', { read: true, manage: true });
  });

  /** Goes to the platform and back. @returns the last address, and its answer */
  async function signIn(visitor: Visitor, path = home) {
    const { status, headers } = await visitor.get(`${path}/sign-in`);
    assert.equal(status, 303);
    const back = await cloud.browse(headers.location as string);
    const address = `${back.pathname}${back.search}`;
    return { address, reply: await visitor.get(address) };
  }

  it('is offered by the catalog, as the platform needs it', async () => {
    const { services } = (await broker.send('GET', '/v2/catalog')).body;
    assert.deepEqual(services[0].dashboard_client, {
      id: 'compose-etcd-dashboard',
      secret: SECRET,
      redirect_uri: `${broker.url}/dashboard/callback`,
    });
  });

  it('lets in whoever may manage the instance', async () => {
    const visitor = new Visitor(broker);
    assert.match((await visitor.get(home)).text, /Sign in with Cloud Foundry/);
    const { reply } = await signIn(visitor);
    assert.equal(reply.status, 303);
    assert.equal(reply.headers.location, dashboardUrl);
    const page = await visitor.get(home);
    assert.equal(page.status, 200);
    assert.match(page.text, /ada@example\.com/);
    assert.equal((await visitor.get(`${home}/settings`)).status, 200);
    assert.ok(broker.logged.some((line) => line.includes('Signed in') && line.includes('ada@example.com')));
  });

  it('shows those who may only read what they may see, and lets them change nothing', async () => {
    cloud.permissions.set('an-instance', { read: true, manage: false });
    const visitor = new Visitor(broker);
    await signIn(visitor);
    const page = await visitor.get(home);
    assert.equal(page.status, 200);
    assert.doesNotMatch(page.text, /\/(settings|keys)"/);
    assert.doesNotMatch((await visitor.get(`${home}/backups`)).text, /Back up now|Restore over/);
    for (const path of ['/settings', '/keys', '/keys/live?space=shared', '/backups/x/download']) {
      assert.equal((await visitor.get(`${home}${path}`)).status, 403, path);
    }
    const csrf = /name="csrf" value="([^"]+)"/.exec(page.text)?.[1] as string;
    assert.equal((await visitor.post(`${home}/settings/tokens`, { csrf, description: 'x' })).status, 403);
    assert.equal((await visitor.post(`${home}/backups`, { csrf })).status, 403);
  });

  it('tells those without a role no more than about an instance that does not exist', async () => {
    cloud.permissions.clear();
    const none = await signIn(new Visitor(broker));
    const unknown = await signIn(new Visitor(broker), `/dashboard/${UNKNOWN}`);
    assert.equal(none.reply.status, 403);
    assert.equal(none.reply.text, unknown.reply.text);
    assert.match(none.reply.text, /no role for this service instance/);
    cloud.permissions.set('an-instance', { read: false, manage: false });
    assert.equal((await signIn(new Visitor(broker))).reply.status, 403);
  });

  it('takes no answer twice, none that was forged, and none that belongs to another browser', async () => {
    const visitor = new Visitor(broker);
    const { address } = await signIn(visitor);
    assert.equal((await visitor.get(address)).status, 403);
    assert.equal((await new Visitor(broker).get(address)).status, 403);

    const other = new Visitor(broker);
    const { headers } = await other.get(`${home}/sign-in`);
    const back = await cloud.browse(headers.location as string);
    back.searchParams.set('state', 'forged');
    assert.equal((await other.get(`${back.pathname}${back.search}`)).status, 403);

    // A sign-in to one instance does not become one to another.
    const moved = new Visitor(broker);
    const begun = await moved.get(`/dashboard/${UNKNOWN}/sign-in`);
    const returned = await cloud.browse(begun.headers.location as string);
    const [name, value] = [...moved.cookies][0] as [string, string];
    moved.cookies.set(name, value.replace(UNKNOWN, home.split('/').at(-1) as string));
    assert.equal((await moved.get(`${returned.pathname}${returned.search}`)).status, 403);
    assert.equal((await moved.get(home)).status, 401);
    assert.equal((await new Visitor(broker).get('/dashboard/callback')).status, 403);
  });

  it('asks again every few minutes, and follows what the platform says then', async () => {
    const visitor = new Visitor(broker);
    await signIn(visitor);
    const now = Date.now();
    const clock = mock.method(Date, 'now', () => now);
    const later = () =>
      clock.mock.mockImplementation(
        (
          (at) => () =>
            at
        )(Date.now() + ASKED_EVERY_MS + 1_000),
      );
    try {
      const asked = cloud.api.asked.length;
      assert.equal((await visitor.get(`${home}/settings`)).status, 200);
      assert.equal(cloud.api.asked.length, asked, 'it was asked right after the sign-in');
      later();
      cloud.permissions.set('an-instance', { read: true, manage: false });
      assert.equal((await visitor.get(`${home}/settings`)).status, 403);
      assert.equal((await visitor.get(home)).status, 200);
      later();
      cloud.permissions.delete('an-instance');
      const page = await visitor.get(home);
      assert.equal(page.status, 401);
      assert.match(page.text, /has ended, or you have no role/);
      assert.equal(visitor.cookies.size, 0);
    } finally {
      clock.mock.restore();
    }
  });

  it('is a clear page while the platform is away, and API and platform do not notice', async () => {
    const visitor = new Visitor(broker);
    await signIn(visitor);
    const { handler } = cloud.api;
    cloud.api.handler = (_request, response) => send(response, 500, {});
    const now = Date.now();
    const clock = mock.method(Date, 'now', () => now + ASKED_EVERY_MS + 1_000);
    try {
      for (const page of [await visitor.get(home)]) {
        assert.equal(page.status, 503);
        assert.match(page.text, /Try again in a minute, since Cloud Foundry does not answer/);
        assert.equal(page.headers['retry-after'], '60');
      }
      assert.equal((await broker.send('GET', '/v2/catalog')).status, 200);
      const { stdout } = await runCli(['dashboard', 'an-instance'], {
        DATA_DIR: broker.dataDir,
        PUBLIC_URL: broker.url,
      });
      const byLink = new Visitor(broker);
      assert.equal((await byLink.signIn(stdout.trim())).status, 303);
      assert.equal((await byLink.get(home)).status, 200);
    } finally {
      clock.mock.restore();
      cloud.api.handler = handler;
    }
    assert.equal((await visitor.get(home)).status, 200);
  });

  it('a person refuses: that is said, and nobody is let in', async () => {
    cloud.allows = false;
    const visitor = new Visitor(broker);
    const { reply } = await signIn(visitor);
    assert.equal(reply.status, 403);
    assert.match(reply.text, /allow the dashboard/);
    assert.equal((await visitor.get(home)).status, 401);
  });

  it('works in a browser', async function () {
    const browser = await TestBrowser.start(this);
    try {
      const page = await browser.page();
      await page.goto(dashboardUrl);
      await page.getByRole('link', { name: 'Sign in with Cloud Foundry' }).click();
      await page.getByText('Recent operations').waitFor();
      assert.equal(page.url(), dashboardUrl);
      await page.getByText('ada@example.com').waitFor();
      await page.getByRole('link', { name: 'Settings' }).click();
      await page.getByRole('heading', { name: 'Scale' }).waitFor();
    } finally {
      await browser.close();
    }
  });
});
