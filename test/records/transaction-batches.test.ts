import assert from 'node:assert/strict';
import type { ITxnRequest, ITxnResponse } from 'etcd3';
import { EtcdError } from '../../src/etcd/errors.js';
import { type KeyedTransaction, TransactionBatches } from '../../src/records/transaction-batches.js';

/** Stands for etcd: keeps what is sent, and answers when it is told to. */
class Sent {
  readonly calls: { request: ITxnRequest; answer: (error?: Error) => void }[] = [];
  readonly batches = new TransactionBatches(
    (request) =>
      new Promise((resolve, reject) => {
        const answer = (error?: Error) => (error === undefined ? resolve(answerTo(request)) : reject(error));
        this.calls.push({ request, answer });
      }),
  );

  /** How many transactions the call holds; 0 for one as it is. */
  size(index: number): number {
    return this.calls[index]?.request.success?.filter((one) => one.request_txn !== undefined).length ?? -1;
  }

  async answer(index: number, error?: Error): Promise<void> {
    this.calls[index]?.answer(error);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Every transaction whose condition names the key `no` fails. */
function answerTo(request: ITxnRequest): ITxnResponse {
  const parts = (request.success ?? []).flatMap(({ request_txn }) => request_txn ?? []);
  return {
    header: { revision: '7' },
    succeeded: !request.compare?.some(({ key }) => String(key) === 'no'),
    responses: parts.map((part) => ({ response_txn: { ...answerTo(part), header: null } })),
  } as unknown as ITxnResponse;
}

function writing(key: string, reads: string[] = [], bytes = 100): KeyedTransaction {
  const compare = [{ key: Buffer.from(reads[0] ?? key) }];
  return { request: { compare, success: [] }, writes: [key], reads: [key, ...reads], bytes };
}

describe('Transactions at the same time', () => {
  let sent: Sent;

  beforeEach(() => {
    sent = new Sent();
  });

  it('a lone one goes at once', async () => {
    const one = sent.batches.commit(writing('a'));
    assert.equal(sent.size(0), 1);
    await sent.answer(0);
    assert.equal((await one).succeeded, true);
  });

  it('those that come meanwhile go together, each with an outcome of its own', async () => {
    const first = sent.batches.commit(writing('a'));
    const others = [
      sent.batches.commit(writing('b', ['shared'])),
      sent.batches.commit(writing('c', ['no'])),
      sent.batches.commit(writing('d', ['shared'])),
    ];
    assert.equal(sent.calls.length, 1);
    await sent.answer(0);
    await first;
    assert.equal(sent.size(1), 3);
    await sent.answer(1);
    const outcomes = await Promise.all(others);
    assert.deepEqual(
      outcomes.map(({ succeeded, header }) => [succeeded, header.revision]),
      [
        [true, '7'],
        [false, '7'],
        [true, '7'],
      ],
    );
  });

  it('two never go together when one writes what the other touches', async () => {
    void sent.batches.commit(writing('a'));
    void sent.batches.commit(writing('b'));
    void sent.batches.commit(writing('b'));
    void sent.batches.commit(writing('c', ['b']));
    void sent.batches.commit(writing('d'));
    await sent.answer(0);
    assert.equal(sent.size(1), 2, 'the first write of b, and d');
    await sent.answer(1);
    assert.equal(sent.size(2), 1, 'the second write of b');
    await sent.answer(2);
    assert.equal(sent.size(3), 1, 'the one that reads b');
  });

  it('a batch has its bounds', async () => {
    void sent.batches.commit(writing('a'));
    for (let index = 0; index < 100; index += 1) {
      void sent.batches.commit(writing(`b${index}`));
    }
    await sent.answer(0);
    assert.equal(sent.size(1), 64);
    await sent.answer(1);
    assert.equal(sent.size(2), 36);
    for (let index = 0; index < 3; index += 1) {
      void sent.batches.commit(writing(`c${index}`, [], 300_000));
    }
    await sent.answer(2);
    assert.equal(sent.size(3), 1, 'one that is nearly all that fits goes alone');
  });

  it('what etcd refuses as a whole is sent singly', async () => {
    void sent.batches.commit(writing('a'));
    const others = [sent.batches.commit(writing('b')), sent.batches.commit(writing('c'))];
    const ends = Promise.allSettled(others);
    await sent.answer(0);
    await sent.answer(1, new EtcdError('not-found', 'requested lease not found'));
    assert.deepEqual([sent.size(2), sent.size(3)], [0, 0]);
    await sent.answer(2);
    await sent.answer(3, new EtcdError('not-found', 'requested lease not found'));
    const [fine, refused] = await ends;
    assert.equal(fine?.status, 'fulfilled');
    assert.equal(refused?.status, 'rejected');
  });

  it('what may have been applied is not sent singly', async () => {
    void sent.batches.commit(writing('a'));
    const others = [sent.batches.commit(writing('b')), sent.batches.commit(writing('c'))];
    const ends = Promise.allSettled(others);
    await sent.answer(0);
    await sent.answer(1, new EtcdError('timeout', 'no answer'));
    assert.deepEqual(
      (await ends).map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    assert.equal(sent.calls.length, 2);
  });
});
