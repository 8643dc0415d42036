import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { bindingPath, instancePath } from '../support/broker.js';
import { TestBrowser } from '../support/browser.js';
import { asTenant } from '../support/tenant.js';
import { TestDeployment } from './support/deployment.js';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const LARGEST_PAGE = 150 << 10;
const WIDTHS = [360, 1180];

describe('The screens of the dashboard', () => {
  let deployment: TestDeployment;
  let browser: TestBrowser;
  let backups: string;
  let page: Page;
  const problems: string[] = [];

  before(async function () {
    browser = await TestBrowser.start(this);
    backups = await mkdtemp(path.join(tmpdir(), 'dashboard-backups-'));
    deployment = await TestDeployment.start('an-instance', { BACKUP_DIR: backups });
    page = await browser.page(problems);
    await page.goto(await deployment.link());
    await page.waitForURL(deployment.dashboardUrl);
    await deployment.fillUsage(1);
    problems.splice(0); // the browser's own line about the status 401 of the page that signs in
  });
  after(async () => {
    await browser?.close();
    await deployment?.dispose();
    if (backups !== undefined) {
      await rm(backups, { recursive: true, force: true });
    }
  });
  afterEach(() => {
    assert.deepEqual(problems.splice(0), []);
  });

  const open = (screen: string, on = page) => on.goto(`${deployment.dashboardUrl}${screen}`);
  const text = (selector: string) => page.locator(selector).first().innerText();
  const notice = (kind: string) => text(`.notice.${kind}`);
  const press = (name: string) => page.getByRole('button', { name, exact: true }).click();
  const valueAt = (key: string) => asTenant(deployment.credentials, (client) => client.get(key).string());

  it('Overview tells what the instance is, how full, what happened and how to connect', async () => {
    await open('');
    const whole = await text('main');
    for (const part of [
      'etcd 3.',
      'Standard',
      deployment.id,
      '6',
      'web',
      'worker',
      'readonly',
      'provision',
    ]) {
      assert.ok(whole.includes(part), part);
    }
    assert.equal((await page.content()).includes(deployment.credentials.password), false);
    await page.getByRole('tab', { name: 'Command line' }).click();
    assert.match(
      await text('[role="tabpanel"]:not([hidden])'),
      /etcdctl --endpoints=https:.*--cacert=ca\.pem/,
    );
    await page.keyboard.press('ArrowRight');
    assert.match(await text('[role="tabpanel"]:not([hidden])'), /BEGIN CERTIFICATE/);
  });

  it('Metrics draws what was used, of each time that can be asked for, and has it as a table', async () => {
    await open('/metrics');
    await page.locator('.chart canvas').nth(3).waitFor();
    assert.equal(await page.locator('.figures tbody tr').count(), 30);
    const cells = await page.locator('.figures tbody tr').nth(5).locator('td').allInnerTexts();
    assert.match(cells.slice(1, 3).join(), /^[\d,]{3,},\d{3}$/);
    assert.match(cells[8] as string, /^\d+\.\d ms$/);
    assert.match(cells[9] as string, /^1\d\d MB$/);
    for (const time of ['6 hours', '24 hours', '7 days', '30 days']) {
      await page.getByRole('link', { name: time }).click();
      await page.locator('.chart canvas').nth(3).waitFor();
      assert.equal(await text('.ranges [aria-current]'), time);
      const writes = await page.locator('.figures td:nth-child(3)').allInnerTexts();
      assert.ok(
        writes.some((count) => count !== '0'),
        time,
      );
    }
    const { columns, quota_bytes } = await page.evaluate<{
      columns: Record<string, unknown[]>;
      quota_bytes: number;
    }>(`fetch('${deployment.dashboardUrl}/metrics/series?range=30d').then((response) => response.json())`);
    assert.equal(quota_bytes, 256 << 20);
    for (const [name, { length }] of Object.entries(columns)) {
      assert.ok(length >= 720 && length <= 721, name);
    }
    assert.equal(
      (await page.request.get(`${deployment.dashboardUrl}/metrics?range=__proto__`)).status(),
      200,
    );
  });

  it('Keys are browsed as a tree, and shown as text, JSON and hex', async () => {
    await open('/keys');
    await page.getByRole('link', { name: /^shared/ }).click();
    assert.deepEqual(await page.locator('.tree a').allInnerTexts(), [
      '<b>bold</',
      'config/',
      'example/',
      'image',
    ]);
    await page.getByRole('link', { name: 'config/' }).click();
    await page.getByRole('link', { name: 'feature/' }).click();
    await page.getByRole('link', { name: 'limits' }).click();
    assert.match(await text('.code'), /^\{\n {2}"requests": 100,/);
    await page.getByRole('link', { name: 'Text' }).click();
    assert.match(await text('.code'), /^\{"requests": 100, "burst"/);
    await page.getByRole('link', { name: 'Hex' }).click();
    assert.match(await text('.code'), /^000000 {2}7b 22 72/);
    await page.locator('.crumbs').getByRole('link', { name: 'config/' }).click();
    await page.getByRole('link', { name: 'name' }).click();
    assert.deepEqual(await page.locator('tbody td:last-child').allInnerTexts(), ['second', 'first']);
  });

  it('Backups are made now, downloaded and restored', async () => {
    await open('/backups');
    await press('Back up now');
    await page.getByRole('link', { name: /^Download/ }).waitFor();
    assert.match(await text('tbody'), /On demand/);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: /^Download/ }).click(),
    ]);
    const lines = (await readFile(await download.path(), 'utf8')).trim().split('\n');
    assert.equal(lines.length, 6);

    await asTenant(deployment.credentials, async (client) => {
      await client.put('config/name').value('after the backup');
    });
    await open('/backups');
    await page.getByText('Over this instance', { exact: true }).click();
    await page.getByLabel('Replace all keys of this instance').check();
    await press('Restore over this instance');
    assert.match(await notice('success'), /restore has begun/i);
    await page.goto(deployment.dashboardUrl);
    await page
      .locator('.operations li', { hasText: 'restored from the backup' })
      .locator('.succeeded')
      .waitFor();
    assert.equal(await valueAt('config/name'), 'second');
    await open('/backups');
    await page.getByText('Before a restore').first().waitFor();
  });

  it("shows tenants' keys and values as data, never as markup", async () => {
    await open('/keys?space=shared');
    await page.getByRole('link', { name: '<b>bold</', exact: true }).click();
    await page.getByRole('link', { name: 'b>', exact: true }).click();
    assert.match(await text('.code'), /^<script>alert\(1\)<\/script>/);
    assert.equal(await page.locator('main b, main script').count(), 0);
  });

  it('a key is written and deleted after asking, if it is still what the person saw', async () => {
    await open('/keys?space=shared');
    await page.getByLabel('Key', { exact: true }).fill('new/key');
    await page.getByLabel('Value').fill('line 1\nline 2');
    await press('Write');
    assert.match(await text('h1'), /Write this new key\?/);
    assert.equal(await valueAt('new/key'), null);
    await press('Write');
    assert.match(await notice('success'), /The key is written/);
    assert.equal(await valueAt('new/key'), 'line 1\nline 2');

    await page.getByLabel('Value').fill('changed');
    await press('Write');
    assert.match(await text('h1'), /Overwrite/);
    await asTenant(deployment.credentials, async (client) => {
      await client.put('new/key').value('by the application');
    });
    await press('Write');
    assert.match(await notice('problem'), /changed meanwhile/);
    assert.equal(await valueAt('new/key'), 'by the application');
    problems.splice(0); // the browser's own line about the status 409

    await press('Delete');
    assert.match(await text('h1'), /Delete this key\?/);
    assert.equal(await valueAt('new/key'), 'by the application');
    await press('Delete');
    assert.match(await notice('success'), /deleted/);
    assert.equal(await valueAt('new/key'), null);
  });

  it('changes are watched live, those of the own key space only', async () => {
    await open('/keys?space=shared');
    await press('Watch');
    await page.getByText('Watching.').waitFor();
    await asTenant(deployment.credentials, async (client) => {
      await client.put('live/<i>key</i>').value('a value');
      await client.delete().key('live/<i>key</i>').exec();
    });
    await page.locator('ol.live li', { hasText: 'deleted' }).waitFor();
    const lines = await page.locator('ol.live li').allInnerTexts();
    assert.equal(lines.length, 2);
    assert.match(lines[1] as string, /live\/<i>key<\/i> = a value$/);
    await press('Stop');
    assert.match(await text('[data-live] [role="status"]'), /Stopped/);
  });

  it('Settings change units, the whitelist and tokens', async () => {
    await open('/settings');
    await page.getByLabel(/^Units of/).fill('3');
    assert.match(await text('output'), /3 units, 768 MB/);
    await page.getByLabel(/^Add units by itself/).fill('5');
    await press('Save');
    assert.match(await notice('success'), /Saved/);
    assert.equal(await page.getByLabel(/^Units of/).inputValue(), '3');
    assert.equal(await page.getByLabel(/^Add units by itself/).inputValue(), '5');

    await page.getByLabel('Address or network').fill('not an address');
    await press('Add');
    assert.match(await notice('problem'), /whitelist/);
    problems.splice(0); // the browser's own line about the status 400
    await page.getByLabel('Address or network').fill('127.0.0.0/8');
    await page.getByLabel('Description').fill('this machine');
    await press('Add');
    assert.match(await text('.list'), /127\.0\.0\.0\/8 this machine/);
    await press('Remove 127.0.0.0/8');
    await page.getByText('Everybody may connect.').waitFor();

    await page.getByLabel('Binding').selectOption('worker');
    await page.getByLabel('End the old password').check();
    await press('Rotate the password');
    const shown = JSON.parse(await text('.notice.success code >> nth=1'));
    deployment.broker.secrets.add(shown.password);
    const fetched = await deployment.broker.send('GET', bindingPath('an-instance', 'worker'));
    assert.deepEqual(shown, fetched.body.credentials);
    await open('/settings');
    assert.equal((await page.content()).includes(shown.password), false);

    await page.getByLabel('What it is for').fill('a script');
    await press('Make a token');
    const token = (await text('.notice.success code')).trim();
    deployment.broker.secrets.add(token);
    const deployments = () =>
      deployment.broker.send('GET', '/api/2016-07/instances/an-instance/deployments', {
        headers: { authorization: `Bearer ${token}`, 'x-broker-api-version': undefined },
      });
    assert.equal((await deployments()).status, 200);
    await open('/settings');
    assert.equal((await page.content()).includes(token), false);
    await page.getByRole('button', { name: /^Revoke/ }).click();
    assert.match(await notice('success'), /good for nothing/);
    assert.equal((await deployments()).status, 401);

    // What people did without their platform is among the operations, and is no answer to a platform's question.
    await open('');
    const done = await page.locator('.operations').innerText();
    for (const part of ['a key was deleted by hand', 'password rotated', 'was made', 'was revoked']) {
      assert.ok(done.includes(part), part);
    }
    const last = await deployment.broker.send('GET', `${instancePath('an-instance')}/last_operation`);
    assert.match(last.body.description, /^update/);
  });

  it('are accessible, small, quick and still, light and dark, on a phone and on a wide screen', async () => {
    const key = Buffer.from('config/name').toString('base64url');
    const screens = [
      '',
      '/metrics?range=30d',
      '/backups',
      '/keys',
      '/keys?space=shared',
      `/keys?space=shared&key=${key}`,
      '/settings',
    ];
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 800 });
        for (const screen of screens) {
          await open(screen);
          const name = `${screen || '/'} ${colorScheme} ${width}`;
          await assertAccessible(page, name);
          const { loaded, shift, wide } = await page.evaluate<Measured>(MEASURE);
          assert.ok(loaded < LARGEST_PAGE, `${name}: ${loaded} bytes`);
          assert.ok(shift < 0.01, `${name}: shifted by ${shift}`);
          assert.ok(wide <= width, `${name}: ${wide} px wide`);
        }
      }
    }
    const paints: number[] = [];
    for (let time = 0; time < 5; time += 1) {
      await open('');
      paints.push(await page.evaluate<number>(FIRST_PAINT));
    }
    const best = Math.min(...paints);
    assert.ok(best < 200, `first paint after ${paints.join(', ')} ms`);
  });

  it('serve a keyboard, and a browser without scripts', async () => {
    await open('');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate('document.activeElement.textContent'), 'Skip to the content');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate('document.activeElement.id'), 'content');

    const context = await browser.browser.newContext({ javaScriptEnabled: false });
    const plain = await context.newPage();
    const link = new URL(await deployment.link());
    await plain.goto(`${link.origin}${link.pathname}`);
    const code = new URLSearchParams(link.hash.slice(1)).get('link') as string;
    await plain.getByLabel('One-time code').fill(code);
    await plain.getByRole('button', { name: 'Sign in' }).click();
    await plain.getByText('Recent operations').waitFor();
    await plain.getByRole('button', { name: 'Sign out' }).click();
    await plain.getByRole('heading', { name: 'Sign in' }).waitFor();
    await context.close();
  });

  it('the sign-in and the list of instances are accessible too', async () => {
    const other = await browser.page();
    await other.goto(deployment.dashboardUrl);
    await assertAccessible(other, 'sign-in');
    await other.goto(await deployment.operatorLink());
    await other.getByRole('heading', { name: 'Service instances' }).waitFor();
    await assertAccessible(other, 'instances');
    await other.getByRole('link', { name: 'an-instance' }).click();
    await other.getByText('Recent operations').waitFor();
    await other.context().close();
  });
});

interface Measured {
  /** Bytes of the page and its files. */
  loaded: number;
  /** The sum of its layout shifts. */
  shift: number;
  /** Pixels. */
  wide: number;
}

/** Runs in the browser. */
const MEASURE = `(async () => {
  const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  const shift = await new Promise((resolve) => {
    let sum = 0;
    const observer = new PerformanceObserver((list) => list.getEntries().forEach(({ value }) => { sum += value; }));
    observer.observe({ type: 'layout-shift', buffered: true });
    setTimeout(() => resolve(sum), 50);
  });
  const loaded = entries.reduce((sum, { decodedBodySize }) => sum + decodedBodySize, 0);
  return { loaded, shift, wide: document.documentElement.scrollWidth };
})()`;

const FIRST_PAINT = `new Promise((resolve) => {
  new PerformanceObserver((list) => resolve(list.getEntriesByName('first-contentful-paint')[0].startTime))
    .observe({ type: 'paint', buffered: true });
})`;

const RUN_AXE = `(async () => {
  const runOnly = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
  const { violations } = await axe.run(document, { runOnly });
  return violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' '));
})()`;

/** Fails with what axe-core finds against WCAG 2.2, levels A and AA. */
async function assertAccessible(page: Page, name: string): Promise<void> {
  // By the debugger, which the page's policy does not concern.
  await page.evaluate(await readFile(AXE, 'utf8'));
  assert.deepEqual(await page.evaluate(RUN_AXE), [], name);
}
