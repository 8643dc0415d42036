import assert from 'node:assert/strict';
import { PortalHouse } from '../support/portal.js';
import { RawClient } from '../support/raw-client.js';

const bytes = (text: string) => Buffer.from(text);
const MIB = 1 << 20;

describe('Large answers through a portal', () => {
  let house: PortalHouse;
  let raw: RawClient;

  before(async () => {
    house = await PortalHouse.start();
    raw = await RawClient.open(house.running.port, await house.bind('i', 'b'));
    for (let at = 0; at < 50; at += 1) {
      await raw.call('KV/Put', { key: bytes(`large/${at}`), value: Buffer.alloc(1_400_000, at) });
    }
  });

  after(async () => {
    raw?.close();
    await house?.stop();
  });

  const range = (limit: number) => ({
    key: bytes('large/'),
    range_end: bytes('large0'),
    limit: String(limit),
  });

  it('come whole up to 32 MiB', async () => {
    const { kvs, count } = (await raw.call('KV/Range', range(23))) as { kvs: unknown[]; count: string };
    assert.deepEqual([kvs.length, count], [23, '50']);
  });

  it('are refused beyond that, and not read whole from etcd when they are much larger', async () => {
    assert.match(
      await raw.refusal('KV/Range', range(30)),
      new RegExp(`^8 grpc: trying to send message larger than max \\(42\\d{6} vs\\. ${32 * MIB}\\)$`),
    );
    const before = house.portal.upstream.ready?.connection;
    assert.match(
      await raw.refusal('KV/Range', range(0)),
      new RegExp(`^8 grpc: received message larger than max \\(70\\d{6} vs\\. ${64 * MIB}\\)$`),
    );
    // Others share the connection to etcd, which goes on.
    assert.equal(house.portal.upstream.ready?.connection, before);
    assert.equal((await raw.call('KV/Range', { ...range(1), count_only: true })).count, '50');
  });
});
