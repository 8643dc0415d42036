import assert from 'node:assert/strict';
import { Compaction, compactionFinding } from '../../src/cluster/compaction.js';
import type { EtcdClient } from '../../src/etcd/client.js';
import { OperatorEtcd } from '../support/operator-etcd.js';

describe('The compaction of a cluster', () => {
  let etcd: OperatorEtcd;
  let root: EtcdClient;
  const log = { info: () => undefined, warn: () => undefined };

  before(async () => {
    etcd = await OperatorEtcd.start({ tls: 'none' });
    root = etcd.connect();
  });
  after(() => etcd?.stop());

  const put = async () =>
    (await root.kv.put({ key: Buffer.from('/x'), value: Buffer.from('y') })).header.revision;
  const readAt = (revision: string) => root.kv.range({ key: Buffer.from('/x'), revision });

  it('is not known of a cluster that has seen little', async () => {
    assert.equal(await compactionFinding(root), undefined);
  });

  it('is missed in a cluster that has kept many revisions', async () => {
    const { range } = root.kv;
    const old = {
      kv: {
        range: async (request: object) => {
          const answer = await range.call(root.kv, request);
          return { ...answer, header: { ...answer.header, revision: '100000' } };
        },
      },
    } as unknown as EtcdClient;
    assert.match(
      (await compactionFinding(old)) as string,
      /none of its 100000 revisions.*ETCD_COMPACTION=1h/,
    );
  });

  it('keeps what is younger than an interval, and may be done by several', async () => {
    const [a, b] = [new Compaction(root, 1_000, log), new Compaction(root, 1_000, log)];
    const first = await put();
    const second = await put();
    await Promise.all([a.compact(), b.compact()]);
    const third = await put();
    await readAt(first);
    await a.compact();
    await b.compact();
    await assert.rejects(readAt(first), /has been compacted/);
    await readAt(second);
    await readAt(third);
    await a.compact();
    assert.match((await compactionFinding(root)) as string, /has been compacted before/);
  });

  it('goes on by the clock', async () => {
    const first = await put();
    const compaction = new Compaction(root, 50, log);
    compaction.start();
    try {
      for (;;) {
        await put();
        try {
          await readAt(first);
        } catch (error) {
          assert.match((error as Error).message, /has been compacted/);
          break;
        }
      }
    } finally {
      await compaction.stop();
    }
  });
});
