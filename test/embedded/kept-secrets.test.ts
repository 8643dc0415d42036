import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { keptEncryptionKey } from '../../src/embedded/kept-secrets.js';
import { TestBroker } from '../support/broker.js';

describe('The encryption key that is kept in DATA_DIR', () => {
  let dataDir: string;
  let file: string;

  beforeEach(async () => {
    dataDir = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-test-'));
    file = path.join(dataDir, 'broker-encryption-key');
  });
  afterEach(() => rm(dataDir, { recursive: true, force: true }));

  it('is made once', async () => {
    const { id } = await keptEncryptionKey(dataDir);
    assert.equal((await keptEncryptionKey(dataDir)).id, id);
  });

  for (const [what, content] of [
    ['emptied', ''],
    ['cut short', 'AAAA'],
  ] as const) {
    it(`is not replaced when its file is ${what}`, async () => {
      await writeFile(file, content);
      await assert.rejects(keptEncryptionKey(dataDir), (error: Error) => {
        assert.ok(error.message.startsWith(`The file ${file} is damaged: `), error.message);
        assert.match(error.message, /restore it from a backup[^\n]*BROKER_ENCRYPTION_KEY[^\n]*$/);
        return true;
      });
      assert.equal(await readFile(file, 'utf8'), content);
    });
  }

  it('is not replaced when its file is missing and records are sealed with it', async () => {
    const broker = new TestBroker(dataDir, {});
    try {
      await broker.start();
      assert.equal((await broker.provision('i')).status, 201);
      await broker.stop();
      await rm(file);
      await assert.rejects(new TestBroker(dataDir, {}).start(), (error: Error) => {
        assert.ok(error.message.startsWith(`The file ${file} is missing, `), error.message);
        assert.match(error.message, /restore it from a backup[^\n]*BROKER_ENCRYPTION_KEY[^\n]*$/);
        return true;
      });
      await assert.rejects(readFile(file), { code: 'ENOENT' });
    } finally {
      await broker.stop();
    }
  });
});
