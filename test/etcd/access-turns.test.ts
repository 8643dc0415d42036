import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { AccessTurns } from '../../src/etcd/access-turns.js';
import { EtcdClient } from '../../src/etcd/client.js';
import { OperatorEtcd } from '../support/operator-etcd.js';

/** Calls that end when they are told to; tells which were begun. */
class Calls {
  readonly turns = new AccessTurns();
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();

  take(method: string, name: string): Promise<void> {
    return this.turns.take(method, () => {
      this.begun.push(name);
      return new Promise((resolve) => this.#ends.set(name, resolve));
    });
  }

  async end(...names: string[]): Promise<void> {
    for (const name of names) {
      this.#ends.get(name)?.();
    }
    await setImmediate();
  }
}

describe('Transactions and changes of access', () => {
  it('go together with their kind and wait for the other', async () => {
    const calls = new Calls();
    void calls.take('txn', 't1');
    void calls.take('txn', 't2');
    void calls.take('userAdd', 'a1');
    void calls.take('roleAdd', 'a2');
    await calls.end('t1');
    assert.deepEqual(calls.begun, ['t1', 't2']);
    await calls.end('t2');
    assert.deepEqual(calls.begun, ['t1', 't2', 'a1', 'a2']);
  });

  it('do not overtake those that wait', async () => {
    const calls = new Calls();
    void calls.take('txn', 't1');
    void calls.take('userAdd', 'a1');
    void calls.take('txn', 't2');
    await calls.end('t1');
    assert.deepEqual(calls.begun, ['t1', 'a1']);
    await calls.end('a1');
    assert.deepEqual(calls.begun, ['t1', 'a1', 't2']);
  });

  it('let other calls pass, and the next ones go on after one that fails', async () => {
    const calls = new Calls();
    const failing = calls.turns.take('userAdd', async () => {
      await setImmediate();
      throw new Error('refused');
    });
    void calls.take('txn', 't1');
    void calls.take('range', 'r1');
    assert.deepEqual(calls.begun, ['r1']);
    await assert.rejects(failing, /refused/);
    await setImmediate();
    assert.deepEqual(calls.begun, ['r1', 't1']);
  });

  it('wait for a call that hangs only for a while', async () => {
    const { turns } = new Calls();
    void turns.take('userAdd', () => new Promise(() => undefined));
    for (const method of ['txn', 'userAdd', 'txn']) {
      await turns.take(method, async () => undefined);
    }
  });
});

describe('Transactions at the same time as changes of access', () => {
  let etcd: OperatorEtcd;

  before(async () => {
    etcd = await OperatorEtcd.start();
  });
  after(() => etcd?.stop());

  it('are seldom refused by etcd', async () => {
    const AT_ONCE = 32;
    const ROUNDS = 4;
    let refused = 0;
    const client = new EtcdClient(etcd.connect().address, (_method, outcome) => {
      refused += outcome === 'stale-auth' ? 1 : 0;
    });
    const work = async (index: number) => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const name = `turns-${index}-${round}`;
        const key = Buffer.from(`/${name}`);
        await client.kv.txn({ success: [{ request_put: { key, value: key } }] });
        await client.auth.roleAdd({ name });
        const perm = { permType: 'Read' as const, key, range_end: Buffer.alloc(0) };
        await client.auth.roleGrantPermission({ name, perm });
      }
    };
    try {
      await client.token();
      await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => work(index)));
      assert.ok(refused < (AT_ONCE * ROUNDS) / 4, `${refused} refused`);
    } finally {
      client.close();
    }
  });
});
