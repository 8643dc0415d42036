import assert from 'node:assert/strict';
import { MalformedRecord } from '../../src/broker/errors.js';
import { keys } from '../../src/records/keys.js';
import { RecordedNames } from '../../src/records/recorded-names.js';
import { OperatorEtcd } from '../support/operator-etcd.js';

describe('What records speak of', () => {
  let etcd: OperatorEtcd;
  before(async () => {
    etcd = await OperatorEtcd.start({ tls: 'none' });
  });
  after(() => etcd?.stop());

  it('is known as of each look, and not where a record can not be read', async () => {
    const root = etcd.connect();
    const put = (key: string, value: unknown) =>
      root.kv.put({
        key: Buffer.from(key),
        value: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
      });
    const bind = (binding: string) =>
      put(keys.binding('i', binding), { role: `r-${binding}`, username: `u-${binding}`, deployment_id: 'd' });
    await put(keys.instance('i'), { deployment_id: 'd' });
    await Promise.all(Array.from({ length: 1_100 }, (_, index) => bind(String(index))));
    const recorded = new RecordedNames(root);
    assert.equal((await recorded.current()).names.size, 2_200);
    await bind('late');
    await put(keys.instance('other'), { deployment_id: 'other' });
    const { names, deployments } = await recorded.current();
    assert.ok(names.has('r-late') && names.has('u-late') && names.has('r-0'));
    assert.deepEqual([...deployments], ['d', 'other']);
    await put(keys.binding('i', 'broken'), '{not json');
    await assert.rejects(recorded.current(), MalformedRecord);
    await assert.rejects(recorded.current(), MalformedRecord, 'it is not forgotten');
  });
});
