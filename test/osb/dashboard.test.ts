import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { dashboard } from '../../src/dashboard/page.js';
import type { OsbContext } from '../../src/osb/context.js';
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

  it('a browser gets a page at / and no icon, without a login', async () => {
    const front = await open(`${broker.url}/`);
    assert.equal(front.status, 200);
    assert.match(front.headers['content-type'] ?? '', /^text\/html/);
    assert.match(front.text, /service broker/);
    const icon = await open(`${broker.url}/favicon.ico`);
    assert.equal(icon.status, 204);
    assert.equal(icon.text, '');
  });

  it('etcd is read once for all who ask for a page within two seconds, and 20 times a second at most', async () => {
    let reads = 0;
    const context = {
      broker: {
        records: {
          readInstanceOfDeployment: async () => {
            reads += 1;
          },
        },
      },
    } as unknown as OsbContext;
    const clock = mock.method(performance, 'now', () => 10_000);
    const show = dashboard(context);
    const ask = async (deployment_id: string): Promise<number> => {
      let sent = 0;
      const response = {
        status(status: number) {
          sent = status;
          return response;
        },
        type: () => response,
        send: () => undefined,
      };
      await show({ params: { deployment_id } } as never, response as never);
      return sent;
    };
    const id = (index: number) => String(index).padStart(24, '0');
    try {
      const same = await Promise.all(Array.from({ length: 100 }, () => ask(id(0))));
      assert.deepEqual(same, Array(100).fill(404));
      assert.equal(reads, 1);
      const others = await Promise.allSettled(Array.from({ length: 100 }, (_, index) => ask(id(index))));
      assert.equal(reads, 20);
      const refused = others.filter(({ status }) => status === 'rejected');
      assert.equal(refused.length, 80);
      assert.equal((refused[0] as PromiseRejectedResult).reason.status, 503);
      clock.mock.mockImplementation(() => 12_001);
      assert.equal(await ask(id(0)), 404);
      assert.equal(reads, 21, 'a page is not shown for longer than two seconds');
    } finally {
      clock.mock.restore();
    }
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
