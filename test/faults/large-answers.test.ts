import assert from 'node:assert/strict';
import { RawClient } from '../portal/support/raw-client.js';
import type { Credentials } from '../support/tenant.js';
import { TestCluster } from './support/cluster.js';
import { ProcessHouse } from './support/portal-house.js';
import { usageOf, watchUsage } from './support/usage.js';

const MB = 2 ** 20;
const AT_ONCE = 60;
const EVERYTHING = { key: Buffer.from('\0'), range_end: Buffer.from('\0') };

describe('Many large answers at a time', () => {
  let cluster: TestCluster;
  let house: ProcessHouse;
  const clients: RawClient[] = [];

  before(async function () {
    this.timeout(60_000);
    cluster = await TestCluster.start();
    house = await ProcessHouse.start(cluster);
  });
  after(async () => {
    for (const client of clients) {
      client.close();
    }
    await house?.stop();
    await cluster?.stop();
  });

  async function open(credentials: Credentials): Promise<RawClient> {
    const ca = Buffer.from(credentials.ca_certificate_base64, 'base64').toString();
    const client = await RawClient.open(house.ports[0] as number, credentials, {
      ca,
      serverName: 'localhost',
    });
    clients.push(client);
    return client;
  }

  it('leave the memory bounded, and the neighbours served', async function () {
    this.timeout(60_000);
    const heavy = await open(await house.bind('heavy', 'b'));
    const neighbour = await open(await house.bind('neighbour', 'b'));
    for (let at = 0; at < 20; at += 1) {
      await heavy.call('KV/Put', { key: Buffer.from(`k${at}`), value: Buffer.alloc(1_400_000, at) });
    }
    const pid = house.pidOf(0);
    const idle = await usageOf(pid);
    const stopWatching = watchUsage(pid);
    let answered = 0;
    const reading = Array.from({ length: AT_ONCE }, async () => {
      const refused = await heavy.refusal('KV/Range', EVERYTHING);
      answered += refused === 'answered' ? 1 : 0;
      return refused;
    });
    const times: number[] = [];
    const done = Promise.all(reading);
    let isDone = false;
    void done.finally(() => {
      isDone = true;
    });
    while (!isDone) {
      const startedAt = performance.now();
      await neighbour.call('KV/Put', { key: Buffer.from('k'), value: Buffer.from('v') });
      times.push(performance.now() - startedAt);
    }
    const peak = await stopWatching();
    const grown = Math.round((peak.rssBytes - idle.rssBytes) / MB);
    const slowest = Math.round(Math.max(...times));
    console.log(
      `      ${answered} of ${AT_ONCE} answers of 28 MB; grew by ${grown} MB; ${times.length} puts of a neighbour, the slowest ${slowest} ms`,
    );
    const texts = new Set(await done);
    assert.ok(texts.delete('answered'), 'none was answered');
    for (const text of texts) {
      assert.match(text, /^(8 etcdserver: too many requests|14 etcdserver: request timed out.*)$/);
    }
    assert.ok(grown <= 200, `${grown} MB`);
  });
});
