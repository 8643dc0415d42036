import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Credentials } from '../../support/tenant.js';
import { PortalHouse, until } from '../support/portal.js';
import { RawClient } from '../support/raw-client.js';

const bytes = (text: string) => Buffer.from(text);
const NOT_SENT = '14 there is no connection available';

describe('An instance whose keys are being replaced by a backup', () => {
  let house: PortalHouse;
  let credentials: Credentials;
  let raw: RawClient;

  before(async () => {
    house = await PortalHouse.start();
    credentials = await house.bind('i', 'b');
    raw = await RawClient.open(house.running.port, credentials);
  });
  after(async () => {
    raw?.close();
    await house?.stop();
  });
  afterEach(() => hold(false));

  /** As a broker that restores marks it, and waits until the portal knows. */
  async function hold(isHeld: boolean): Promise<void> {
    const key = bytes('/_broker/v1/instances/i');
    const { kvs } = await house.root.kv.range({ key });
    const record = { ...JSON.parse(kvs[0]?.value.toString() ?? ''), state: isHeld ? 'restoring' : 'ready' };
    await house.root.kv.put({ key, value: bytes(JSON.stringify(record)) });
    await until(() => house.portal.directory.find(credentials.username)?.instance.settings.isHeld === isHeld);
  }

  it('has its calls wait, and carried out afterwards', async () => {
    await hold(true);
    let answered = 0;
    const calls = [
      raw.call('KV/Put', { key: bytes('k'), value: bytes('v') }),
      raw.call('KV/Range', { key: bytes('k') }),
      raw.call('Lock/Lock', { name: bytes('l') }),
    ].map((call) =>
      call.then((answer) => {
        answered += 1;
        return answer;
      }),
    );
    await sleep(300);
    assert.equal(answered, 0);
    await hold(false);
    await Promise.all(calls);
    assert.equal((await raw.call('KV/Range', { key: bytes('k') })).count, '1');
  });

  it('goes on having its leases kept alive, and its sign-ins', async () => {
    const { ID } = await raw.call('Lease/LeaseGrant', { TTL: '60' });
    const stream = raw.stream('Lease/LeaseKeepAlive');
    stream.write({ ID });
    await stream.next();
    await hold(true);
    stream.write({ ID });
    assert.equal((await stream.next()).TTL, '60');
    const other = await RawClient.open(house.running.port, credentials);
    const again = other.stream('Lease/LeaseKeepAlive');
    again.write({ ID });
    assert.equal((await again.next()).TTL, '60');
    other.close();
    stream.call.cancel();
  });

  it('has its watches ended as those whose revision was compacted, and takes no others meanwhile', async () => {
    const stream = raw.stream('Watch/Watch');
    for (const key of ['a', 'b']) {
      stream.write({ create_request: { key: bytes(key) } });
      assert.equal((await stream.next()).created, true);
    }
    const { header } = (await raw.call('KV/Put', { key: bytes('a'), value: bytes('1') })) as {
      header: { revision: string };
    };
    assert.equal(((await stream.next()).events as object[]).length, 1);
    await hold(true);
    for (const watch_id of ['0', '1']) {
      const ended = await stream.next();
      assert.deepEqual([ended.watch_id, ended.canceled], [watch_id, true]);
      assert.ok(Number(ended.compact_revision) >= Number(header.revision));
    }
    const refused = raw.stream('Watch/Watch');
    refused.write({ create_request: { key: bytes('a') } });
    assert.equal(await refused.ended(), NOT_SENT);
    stream.write({ create_request: { key: bytes('c') } });
    assert.equal(await stream.ended(), NOT_SENT);
    await hold(false);
    const after = raw.stream('Watch/Watch');
    after.write({ create_request: { key: bytes('a') } });
    assert.equal((await after.next()).created, true);
    after.call.cancel();
  });

  it('has calls that wait too long end as those that were not sent', async function () {
    this.timeout(20_000);
    await hold(true);
    assert.equal(await raw.refusal('KV/Put', { key: bytes('k'), value: bytes('late') }), NOT_SENT);
    await hold(false);
    const { kvs } = (await raw.call('KV/Range', { key: bytes('k') })) as { kvs: { value: Buffer }[] };
    assert.equal(kvs[0]?.value.toString(), 'v');
  });
});
