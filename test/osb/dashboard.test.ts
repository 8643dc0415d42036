import assert from 'node:assert/strict';
import { instancePath, startTestBroker, type TestBroker } from '../support/broker.js';

describe('GET /dashboard/:deployment_id', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker();
  });
  after(() => broker.dispose());

  const open = (url: string) =>
    broker.send('GET', new URL(url).pathname, {
      headers: { authorization: undefined, 'x-broker-api-version': undefined },
    });

  it('shows the deployment to whoever has its address, and no secret', async () => {
    const { dashboard_url } = (await broker.provision('i')).body;
    const { credentials } = (await broker.bind('i', 'b')).body;
    const page = await open(dashboard_url);
    assert.equal(page.status, 200);
    assert.match(page.headers['content-type'] ?? '', /^text\/html/);
    assert.ok(page.headers['content-security-policy']);
    for (const text of [credentials.deployment_id, credentials.name, 'Standard', 'ready']) {
      assert.ok(page.text.includes(text), text);
    }
    for (const text of [credentials.username, credentials.password]) {
      assert.equal(page.text.includes(text), false);
    }
  });

  it('shows an id of the platform as text, never as markup', async () => {
    const id = `"'><script>alert(1)</script>&amp;`;
    const { dashboard_url } = (await broker.provision(id)).body;
    const page = await open(dashboard_url);
    assert.equal(page.status, 200);
    assert.doesNotMatch(page.text, /<script|"'|'>/);
  });

  it('is 404 for what never existed, for what is gone, and for an instance id', async () => {
    const { dashboard_url } = (await broker.provision('gone')).body;
    assert.equal((await broker.deprovision('gone')).status, 200);
    for (const url of [
      dashboard_url,
      `${broker.url}/dashboard/${'0'.repeat(24)}`,
      `${broker.url}/dashboard/i`,
      `${broker.url}/dashboard/..%2F..`,
      `${broker.url}/dashboard/%3Cscript%3E`,
    ]) {
      const page = await open(url);
      assert.equal(page.status, 404, url);
      assert.doesNotMatch(page.text, /<script/);
    }
    assert.equal((await broker.send('GET', '/dashboard/%ff')).status, 400);
  });

  it('is named by the public address of the broker', async () => {
    const other = await startTestBroker({ PUBLIC_URL: 'https://broker.example.com/etcd/' });
    try {
      await other.provision('i');
      const { dashboard_url } = (await other.send('GET', instancePath('i'))).body;
      assert.match(dashboard_url, /^https:\/\/broker\.example\.com\/etcd\/dashboard\/[0-9a-f]{24}$/);
      const { credentials } = (await other.bind('i', 'b')).body;
      assert.equal(credentials.instance_administration_api.root, 'https://broker.example.com/etcd/api');
    } finally {
      await other.dispose();
    }
  });
});
