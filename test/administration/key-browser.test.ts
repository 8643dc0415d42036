import assert from 'node:assert/strict';
import { KeyBrowser, PAGE_ENTRIES } from '../../src/administration/key-browser.js';
import type { EtcdClient } from '../../src/etcd/client.js';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { rootConnection } from '../support/root-connection.js';

const DEPLOYMENT = 'd'.repeat(24);

describe('The tree of keys', () => {
  let broker: TestBroker;
  let root: EtcdClient;

  before(async () => {
    broker = await startTestBroker();
    root = await rootConnection(broker);
  });
  after(async () => {
    root?.close();
    await broker?.dispose();
  });

  async function put(names: readonly string[]): Promise<void> {
    for (let from = 0; from < names.length; from += 100) {
      const success = names.slice(from, from + 100).map((name) => ({
        request_put: { key: Buffer.from(`/d/${DEPLOYMENT}/${name}`, 'latin1'), value: Buffer.from('v') },
      }));
      await root.kv.txn({ compare: [], success, failure: [] });
    }
  }

  async function level(folder: string): Promise<{ entries: string[]; pages: number }> {
    const browser = new KeyBrowser(root);
    const entries: string[] = [];
    let from: Buffer | undefined;
    for (let pages = 1; ; pages += 1) {
      const page = await browser.level(DEPLOYMENT, 'data', Buffer.from(folder), from);
      assert.ok(page.entries.length <= PAGE_ENTRIES);
      entries.push(...page.entries.map(({ kind, key }) => `${kind} ${key.toString('latin1')}`));
      if (page.next === undefined) {
        return { entries, pages };
      }
      from = page.next;
    }
  }

  it('tells each key and each folder of a level once, however many keys are in the folders', async () => {
    const names = [
      ...Array.from({ length: 12 }, (_, folder) =>
        Array.from({ length: 900 }, (_, at) => `folder-${folder}/${String(at).padStart(4, '0')}`),
      ).flat(),
      ...Array.from({ length: 250 }, (_, at) => `key-${String(at).padStart(3, '0')}`),
      'folder-3',
      'folder-3/deeper/a',
      'folder-3/deeper/b',
      '\xff',
      '\xff\xff/x',
    ];
    await put(names.map((name) => `data/${name}`));
    await put(['other/folder-1/a', 'data-2/a']);
    const { entries, pages } = await level('');
    const expected = new Set(
      [...names].sort().map((name) => {
        const slash = name.indexOf('/');
        return slash < 0 ? `key ${name}` : `folder ${name.slice(0, slash + 1)}`;
      }),
    );
    assert.deepEqual(entries, [...expected]);
    assert.ok(pages <= 4, `${pages} pages`);
    const within = await level('folder-3/');
    assert.equal(within.entries.length, 901);
    assert.equal(within.entries.at(-1), 'folder folder-3/deeper/');
  });
});
