import assert from 'node:assert/strict';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { TestBrowser } from '../support/browser.js';
import { ExampleApplication } from '../support/example.js';
import { freePorts } from '../support/operator-etcd.js';
import { asTenant, type Credentials } from '../support/tenant.js';

describe('examples/words', () => {
  let broker: TestBroker;
  let credentials: Credentials;
  let example: ExampleApplication;

  const post = (place: string, fields: Record<string, string>, headers: Record<string, string> = {}) =>
    fetch(`${example.url}${place}`, {
      method: 'POST',
      body: new URLSearchParams(fields),
      redirect: 'manual',
      headers: { connection: 'close', ...headers },
    });
  const home = async () => (await fetch(example.url, { headers: { connection: 'close' } })).text();

  before(async () => {
    broker = await startTestBroker({ PORTAL: 'on' });
    await broker.provision('i');
    credentials = (await broker.bind('i', 'words')).body.credentials;
    example = await ExampleApplication.start(credentials);
  });
  after(async () => {
    assert.equal(await example?.stop(), 0);
    await broker?.dispose();
  });

  describe('in a browser', () => {
    let browser: TestBrowser;
    before(async function () {
      browser = await TestBrowser.start(this);
    });
    after(() => browser?.close());

    it('keeps words in etcd, shows them, and takes them out again', async () => {
      const problems: string[] = [];
      const page = await browser.page(problems);
      await page.goto(example.url);
      const [first, second] = [new URL(credentials.uri), new URL(credentials.uri_direct_1 as string)];
      assert.match((await page.textContent('p')) ?? '', new RegExp(`${first.host} and ${second.host}`));
      for (const [word, meaning] of [
        ['etcd', 'a store'],
        ['broker', 'a go-between'],
      ] as const) {
        await page.getByLabel('Word').fill(word);
        await page.getByLabel('Meaning').fill(meaning);
        await page.getByRole('button', { name: 'Add' }).click();
        await page.getByRole('row', { name: meaning }).waitFor();
      }
      assert.deepEqual(await page.locator('tbody th').allTextContents(), ['broker', 'etcd']);
      const kept = await asTenant(credentials, (client) =>
        client.getAll().prefix('/example/words/').strings(),
      );
      assert.deepEqual(kept, { '/example/words/broker': 'a go-between', '/example/words/etcd': 'a store' });
      await page.getByRole('button', { name: 'Delete broker' }).click();
      await page.getByRole('row', { name: 'a go-between' }).waitFor({ state: 'detached' });
      assert.deepEqual(await page.locator('tbody th').allTextContents(), ['etcd']);
      assert.deepEqual(problems, []);
    });

    it('shows what people write as text, whatever it is', async () => {
      const problems: string[] = [];
      const page = await browser.page(problems);
      await page.goto(example.url);
      const nasty = `"><script>document.title='taken'</script><img src=x onerror=alert(1)>`;
      await page.getByLabel('Word').fill(`<b>'&amp;"`);
      await page.getByLabel('Meaning').fill(nasty);
      await page.getByRole('button', { name: 'Add' }).click();
      const row = page.locator('tbody tr').first();
      await row.waitFor();
      assert.equal(await row.locator('th').textContent(), `<b>'&amp;"`);
      assert.equal(await row.locator('td').first().textContent(), nasty);
      assert.equal(await page.title(), 'Words in etcd');
      assert.equal(await page.locator('tbody img, script').count(), 0);
      await row.getByRole('button').click();
      await page.waitForFunction('!document.body.textContent.includes("taken")');
      assert.deepEqual(problems, []);
    });
  });

  it('refuses what it can not keep, with a message', async () => {
    for (const fields of [{}, { word: ' ', meaning: 'x' }, { word: 'x' }, { word: 'a\nb', meaning: 'x' }]) {
      const response = await post('/words', fields as Record<string, string>);
      assert.equal(response.status, 400);
      assert.match(await response.text(), /role="alert">The (word|meaning) must have 1 to/);
    }
    assert.equal((await post('/words', { word: 'x', meaning: 'y'.repeat(10_000) })).status, 413);
    assert.equal((await post('/nowhere', {})).status, 404);
  });

  it('takes no form from the page of somebody else', async () => {
    const fields = { word: 'foreign', meaning: 'x' };
    assert.equal((await post('/words', fields, { 'sec-fetch-site': 'cross-site' })).status, 403);
    assert.ok(!(await home()).includes('foreign'));
  });

  it('goes on with the second portal when the first is not there', async () => {
    const [port] = await freePorts(1);
    const uri = credentials.uri.replace(/:\d+$/, `:${port}`);
    const other = await ExampleApplication.start({ ...credentials, uri });
    try {
      for (let time = 0; time < 5; time += 1) {
        const response = await fetch(other.url, { headers: { connection: 'close' } });
        assert.equal(response.status, 200, other.output);
      }
    } finally {
      assert.equal(await other.stop(), 0);
    }
  });

  it('says that etcd refuses, and goes on', async () => {
    const { body } = await broker.bind('i', 'short-lived');
    const other = await ExampleApplication.start(body.credentials);
    try {
      assert.equal((await fetch(other.url, { headers: { connection: 'close' } })).status, 200);
      await broker.unbind('i', 'short-lived');
      const response = await fetch(other.url, { headers: { connection: 'close' } });
      assert.equal(response.status, 503);
      const text = await response.text();
      assert.match(text, /role="alert">etcd does not answer, or refuses/);
      assert.ok(
        !text.includes(body.credentials.password) && !other.output.includes(body.credentials.password),
      );
      assert.equal((await fetch(`${other.url}/health`, { headers: { connection: 'close' } })).status, 200);
    } finally {
      assert.equal(await other.stop(), 0);
    }
  });

  it('says what to do when no etcd is bound', async () => {
    const unbound = ExampleApplication.launch({});
    assert.equal(await unbound.ended, 1);
    assert.match(unbound.output, /^No etcd is bound\. .*cf bind-service/);
  });
});
