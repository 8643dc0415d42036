import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { IDLE_MS } from '../../src/dashboard/session.js';
import { instancePath, startTestBroker } from '../support/broker.js';
import { TestDeployment } from './support/deployment.js';
import { Visitor } from './support/visitor.js';

const MARKUP = `"'><script>alert(1)</script>&amp;`;

describe('Entering the dashboard', () => {
  let deployment: TestDeployment;
  let home: string;

  before(async () => {
    deployment = await TestDeployment.start('i');
    home = new URL(deployment.dashboardUrl).pathname;
  });
  after(() => deployment?.dispose());

  const stranger = () => new Visitor(deployment.broker);
  const guest = async () => Visitor.with(deployment.broker, await deployment.link());

  it('a stranger gets the same page for every deployment, and nothing of it', async () => {
    const unknown = `/dashboard/${'0'.repeat(24)}`;
    for (const path of ['', '/backups', '/keys', '/settings', '/keys/live?space=shared']) {
      const [known, other] = await Promise.all([
        stranger().get(`${home}${path}`),
        stranger().get(`${unknown}${path}`),
      ]);
      assert.equal(known.status, 401, path);
      assert.equal(other.status, 401, path);
      assert.equal(known.text.replaceAll(deployment.id, '0'.repeat(24)), other.text, path);
      assert.match(known.text, /Sign in/);
    }
    assert.equal((await stranger().get('/dashboard')).status, 401);
    assert.equal((await stranger().post(`${home}/settings/tokens`, { description: 'x' })).status, 401);
    assert.equal((await stranger().get(`${home}/backups/20260101T000000Z-0000/download`)).status, 401);
  });

  it('a link signs in once, at its own instance only', async () => {
    const { dashboard_url } = (await deployment.broker.provision('other')).body;
    const link = await deployment.link();
    const elsewhere = link.replace(deployment.dashboardUrl, dashboard_url);
    assert.notEqual(elsewhere, link);
    assert.equal((await stranger().signIn(elsewhere)).status, 401);
    const visitor = await Visitor.with(deployment.broker, link);
    assert.equal((await visitor.get(home)).status, 200);
    assert.equal((await stranger().signIn(link)).status, 401);

    // The session of one instance, moved to another by hand.
    assert.equal((await visitor.get(new URL(dashboard_url).pathname)).status, 401);
    assert.equal((await visitor.get('/dashboard')).status, 401);
    const two = await deployment.link();
    const both = await Promise.all([stranger().signIn(two), stranger().signIn(two)]);
    assert.deepEqual(both.map(({ status }) => status).sort(), [303, 401]);
  });

  it("a session's cookie is Secure, HttpOnly, SameSite=Lax and only for its instance; pages are not kept", async () => {
    const { headers } = await stranger().signIn(await deployment.link());
    assert.equal(headers['set-cookie']?.length, 1);
    const cookie = headers['set-cookie']?.[0] ?? '';
    for (const part of [`Path=${home}`, 'Secure', 'HttpOnly', 'SameSite=Lax']) {
      assert.ok(cookie.split('; ').includes(part), cookie);
    }
    const visitor = await guest();
    for (const path of ['', '/backups', '/keys', '/settings']) {
      const page = await visitor.get(`${home}${path}`);
      assert.equal(page.status, 200, path);
      assert.equal(page.headers['cache-control'], 'no-store');
      assert.equal(page.headers['referrer-policy'], 'no-referrer');
      const policy = String(page.headers['content-security-policy']);
      assert.match(policy, /default-src 'none'/);
      assert.doesNotMatch(policy, /unsafe/);
      assert.doesNotMatch(page.text, / style=| on[a-z]+=|<script>|<style/);
      assert.equal(page.text.includes(deployment.credentials.password), false);
    }
  });

  it('broken, forged and old cookies are those of a stranger', async () => {
    const visitor = await guest();
    const [name, value] = [...visitor.cookies][0] as [string, string];
    const forger = stranger();
    for (const forged of [
      '',
      'x',
      '%ff',
      '1.x',
      '4.x',
      `${value}x`,
      value.slice(0, -2),
      `${value.slice(0, -3)}AAA`,
      'x'.repeat(10_000),
    ]) {
      forger.cookies.set(name, forged);
      assert.equal((await forger.get(home)).status, 401, forged.slice(0, 20));
    }
    const now = Date.now();
    const clock = mock.method(Date, 'now', () => now + IDLE_MS + 1_000);
    try {
      assert.equal((await visitor.get(home)).status, 401);
      clock.mock.mockImplementation(() => now + IDLE_MS / 2);
      assert.equal((await visitor.get(home)).status, 200);
      // It was in use meanwhile, so the hour begins anew.
      clock.mock.mockImplementation(() => now + IDLE_MS + 1_000);
      assert.equal((await visitor.get(home)).status, 200);
    } finally {
      clock.mock.restore();
    }
  });

  it('a form without the token of its session, or from another site, changes nothing', async () => {
    const visitor = await guest();
    const other = await guest();
    const path = `${home}/settings/tokens`;
    const csrf = /name="csrf" value="([^"]+)"/.exec(
      (await other.get(`${home}/settings`)).text,
    )?.[1] as string;
    for (const fields of [{}, { csrf: '' }, { csrf }]) {
      assert.equal((await visitor.post(path, { description: 'forged', ...fields })).status, 403);
    }
    const own = /name="csrf" value="([^"]+)"/.exec(
      (await visitor.get(`${home}/settings`)).text,
    )?.[1] as string;
    const from = { 'sec-fetch-site': 'cross-site' };
    assert.equal((await visitor.post(path, { description: 'forged', csrf: own }, from)).status, 403);
    assert.doesNotMatch((await visitor.get(`${home}/settings`)).text, /forged/);
    const foreign = await stranger().post(`${home}/sign-in`, { link: 'x' }, from);
    assert.equal(foreign.status, 403);
  });

  it('guessing of codes is slowed', async () => {
    const statuses = new Set<number>();
    for (let guess = 0; guess <= 60; guess += 1) {
      const { status } = await stranger().signIn(
        `http://localhost/dashboard/${'1'.repeat(24)}#link=guess-${guess}`,
      );
      statuses.add(status);
    }
    assert.deepEqual([...statuses].sort(), [401, 429]);
  });

  it("an operator's link opens every instance and the list of them", async () => {
    const visitor = await Visitor.with(deployment.broker, await deployment.operatorLink());
    const list = await visitor.get('/dashboard');
    assert.equal(list.status, 200);
    assert.ok(list.text.includes(deployment.dashboardUrl));
    assert.equal((await visitor.get(home)).status, 200);
    // It can't be moved into an instance's cookie.
    const forger = stranger();
    forger.cookies.set('dashboard_session', visitor.cookies.get('dashboard_session_all') as string);
    assert.equal((await forger.get(home)).status, 401);
  });

  it('signing out ends the session in this browser', async () => {
    const visitor = await guest();
    assert.equal((await visitor.submit(home, `${home}/sign-out`, {})).status, 303);
    assert.equal(visitor.cookies.size, 0);
    assert.equal((await visitor.get(home)).status, 401);
  });

  it('shows an id of the platform as text, never as markup', async () => {
    const { dashboard_url } = (await deployment.broker.provision(MARKUP)).body;
    const id = dashboard_url.split('/').at(-1);
    const visitor = await Visitor.with(deployment.broker, await deployment.link(id));
    for (const path of ['', '/backups', '/keys', '/settings']) {
      const page = await visitor.get(`${new URL(dashboard_url).pathname}${path}`);
      assert.equal(page.status, 200);
      assert.doesNotMatch(page.text, /<script>|"'/);
    }
  });

  it('is 404 for what is gone and for what is no deployment', async () => {
    const { dashboard_url } = (await deployment.broker.provision('gone')).body;
    const path = new URL(dashboard_url).pathname;
    const visitor = await Visitor.with(deployment.broker, await deployment.link(path.split('/').at(-1)));
    assert.equal((await visitor.get(path)).status, 200);
    assert.equal((await deployment.broker.deprovision('gone')).status, 200);
    assert.equal((await visitor.get(path)).status, 404);
    for (const other of ['/dashboard/i', '/dashboard/..%2F..', '/dashboard/%3Cscript%3E', `${home}/none`]) {
      const page = await visitor.get(other);
      assert.equal(page.status, 404, other);
      assert.match(page.text, /There is no such page/);
    }
    assert.equal((await visitor.get('/dashboard/%ff')).status, 400);
  });

  it('a browser gets a page at / and no icon, without a login', async () => {
    const front = await stranger().get('/');
    assert.equal(front.status, 200);
    assert.match(front.headers['content-type'] ?? '', /^text\/html/);
    assert.match(front.text, /service broker/);
    const icon = await stranger().get('/favicon.ico');
    assert.equal(icon.status, 204);
    assert.equal(icon.text, '');
  });

  it('is named by the public address of the broker', async () => {
    const other = await startTestBroker({ PUBLIC_URL: 'https://broker.example.com/etcd/' });
    try {
      await other.provision('i');
      const { dashboard_url } = (await other.send('GET', instancePath('i'))).body;
      assert.match(dashboard_url, /^https:\/\/broker\.example\.com\/etcd\/dashboard\/[0-9a-f]{24}$/);
      const { credentials } = (await other.bind('i', 'b')).body;
      assert.equal(credentials.instance_administration_api.root, 'https://broker.example.com/etcd/api');
      const page = await new Visitor(other).get('/');
      assert.match(page.text, /href="https:\/\/broker\.example\.com\/etcd\/dashboard\/assets\/dashboard\./);
    } finally {
      await other.dispose();
    }
  });
});
