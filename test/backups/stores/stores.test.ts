import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FolderStore } from '../../../src/backups/stores/folder.js';
import { S3Store } from '../../../src/backups/stores/s3.js';
import type { BackupStore } from '../../../src/backups/stores/store.js';
import { S3Server } from '../support/s3-server.js';

const [ONE, OTHER] = ['1'.repeat(24), '2'.repeat(24)];
const DATA = `${ONE}/${'a'.repeat(24)}.data`;
const MANIFEST = `${ONE}/${'a'.repeat(24)}.manifest`;

async function* from(...pieces: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}
async function* failing(piece: Uint8Array): AsyncGenerator<Uint8Array> {
  yield piece;
  throw new Error('etcd went away');
}
async function all(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) {
    parts.push(piece);
  }
  return Buffer.concat(parts);
}
async function names(store: BackupStore, prefix = ''): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of store.list(prefix)) {
    found.push(name);
  }
  return found.sort();
}

let server: S3Server;
let folder: string;

const stores: [name: string, make: () => BackupStore][] = [
  ['a folder', () => new FolderStore(path.join(folder, 'backups'))],
  ['S3', () => new S3Store(server.options)],
];

before(async () => {
  server = await S3Server.start();
});
after(() => server?.stop());
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'stores-'));
});
afterEach(async () => {
  server.fault = () => false;
  await rm(folder, { recursive: true, force: true });
});

for (const [what, make] of stores) {
  describe(`Backups in ${what}`, () => {
    let store: BackupStore;
    beforeEach(() => {
      store = make();
    });
    afterEach(async () => {
      for (const name of await names(store)) {
        await store.delete(name);
      }
    });

    it('come back as they were written, whatever their length', async () => {
      for (const length of [0, 1, 100_000, 8 << 20, 20_000_000]) {
        const bytes = randomBytes(length);
        const pieces = [bytes.subarray(0, length >> 1), bytes.subarray(length >> 1)];
        assert.equal(await store.write(DATA, from(...pieces)), length);
        assert.ok((await all(store.read(DATA))).equals(bytes), `${length}`);
        if (length > 1) {
          assert.ok((await all(store.read(DATA, length - 1))).equals(bytes.subarray(length - 1)));
        }
      }
    });

    it('are listed with their length and age, all of them or those of one deployment', async () => {
      assert.deepEqual(await names(store), []);
      await store.write(DATA, from(Buffer.from('data')));
      await store.write(MANIFEST, from(Buffer.from('m')));
      await store.write(`${OTHER}/${'b'.repeat(24)}.data`, from(Buffer.from('x')));
      assert.deepEqual(await names(store, `${ONE}/`), [DATA, MANIFEST]);
      assert.equal((await names(store)).length, 3);
      for await (const { name, bytes, at } of store.list(`${ONE}/`)) {
        assert.equal(bytes, name === DATA ? 4 : 1);
        assert.ok(Math.abs(Date.now() - at) < 60_000);
      }
    });

    it('are replaced whole, and gone when they are deleted', async () => {
      await store.write(DATA, from(Buffer.from('one')));
      await store.write(DATA, from(Buffer.from('other')));
      assert.equal((await all(store.read(DATA))).toString(), 'other');
      await store.delete(DATA);
      await store.delete(DATA);
      assert.deepEqual(await names(store), []);
      await assert.rejects(all(store.read(DATA)), { name: 'StoreError', kind: 'not found' });
    });

    it('are not there when their writing failed or was given up', async () => {
      for (const bytes of [Buffer.from('few'), randomBytes(9 << 20)]) {
        await assert.rejects(store.write(DATA, failing(bytes)), { message: 'etcd went away' });
        const gone = new AbortController();
        async function* given(): AsyncGenerator<Uint8Array> {
          yield bytes;
          gone.abort(new Error('not wanted any more'));
          yield bytes;
        }
        await assert.rejects(store.write(DATA, given(), gone.signal), { message: 'not wanted any more' });
        assert.deepEqual(await names(store), []);
        assert.equal(await store.sweep(0), 0);
      }
    });

    it('keep what was there when a later writing fails', async () => {
      await store.write(DATA, from(Buffer.from('good')));
      await assert.rejects(store.write(DATA, failing(randomBytes(9 << 20))));
      assert.equal((await all(store.read(DATA))).toString(), 'good');
    });

    it('have no names that lead elsewhere', async () => {
      for (const name of [
        '../x',
        `${ONE}/../../x.data`,
        `/${DATA}`,
        `${DATA}/`,
        `${ONE}/${'A'.repeat(24)}.data`,
        '',
      ]) {
        await assert.rejects(store.write(name, from(Buffer.from('x'))), /not of its form/, name);
        await assert.rejects(all(store.read(name)), /not of its form/, name);
        await assert.rejects(store.delete(name), /not of its form/, name);
      }
    });
  });
}

describe('A folder of backups', () => {
  it('is nobody else’s to read', async () => {
    const store = new FolderStore(path.join(folder, 'backups'));
    await store.write(DATA, from(Buffer.from('x')));
    assert.equal((await stat(path.join(folder, 'backups', DATA))).mode & 0o777, 0o600);
    assert.equal((await stat(path.join(folder, 'backups', ONE))).mode & 0o777, 0o700);
  });

  it('is swept of what a killed process left, and of nothing else', async () => {
    const store = new FolderStore(folder);
    await store.write(DATA, from(Buffer.from('x')));
    const part = path.join(folder, `${DATA}.0123456789ab.part`);
    await writeFile(part, 'half');
    assert.deepEqual(await names(store), [DATA]);
    assert.equal(await store.sweep(60_000), 0);
    await utimes(part, 1, 1);
    assert.equal(await store.sweep(60_000), 1);
    assert.deepEqual(await readdir(path.join(folder, ONE)), [path.basename(DATA)]);
  });

  it('says what is wrong with it', async () => {
    await writeFile(path.join(folder, 'file'), 'x');
    const store = new FolderStore(path.join(folder, 'file'));
    await assert.rejects(store.write(DATA, from(Buffer.from('x'))), { name: 'StoreError' });
    if (process.getuid?.() === 0) {
      return; // root may write everywhere
    }
    await chmod(folder, 0o500);
    await assert.rejects(new FolderStore(folder).write(DATA, from(Buffer.from('x'))), {
      name: 'StoreError',
      kind: 'refused',
      message: /may not write to/,
    });
    await chmod(folder, 0o700);
  });
});

describe('A bucket of backups', () => {
  const large = randomBytes(20_000_000);
  let store: S3Store;
  beforeEach(() => {
    store = new S3Store(server.options);
    server.requests.length = 0;
  });

  it('gets large ones in parts', async () => {
    await store.write(DATA, from(large));
    assert.ok(server.requests.some((request) => /partNumber=\d/.test(request)));
    assert.equal((await all(store.read(DATA))).equals(large), true);
  });

  it('is asked again when it fails for a while, whichever request it is', async () => {
    for (const status of [500, 503, 429]) {
      const seen = new Map<string, number>();
      server.fault = (request, response) => {
        const what = `${request.method} ${request.url}`;
        const count = (seen.get(what) ?? 0) + 1;
        seen.set(what, count);
        if (count > 2) {
          return false;
        }
        request.resume();
        response.writeHead(status).end('<Error><Code>SlowDown</Code></Error>');
        return true;
      };
      await store.write(DATA, from(large));
      assert.ok((await all(store.read(DATA))).equals(large));
      assert.deepEqual(await names(store, `${ONE}/`), [DATA]);
      await store.delete(DATA);
    }
  });

  it('goes on where it was when a connection breaks', async () => {
    await store.write(DATA, from(large));
    let cuts = 0;
    server.fault = (request, response) => {
      if (request.method === 'GET' && cuts < 3) {
        cuts += 1;
        setTimeout(() => response.socket?.destroy(), 5 * cuts);
      }
      return false;
    };
    assert.ok((await all(store.read(DATA))).equals(large));
    assert.equal(cuts, 3);
  });

  it('is given up when it stays away, with a text that names it', async () => {
    server.fault = (request) => {
      request.socket.destroy();
      return true;
    };
    await assert.rejects(store.write(DATA, from(large)), {
      name: 'StoreError',
      kind: 'away',
      message: /^http:\/\/127\.0\.0\.1:\d+\/backups\/broker\/one\/ does not answer: /,
    });
  });

  /** Answers instead of the server. */
  const answering = (status: number, body: string) => {
    server.fault = (request, response) => {
      request.resume();
      response.writeHead(status).end(body);
      return true;
    };
  };

  it('is asked once when it refuses, and the text has no secret', async () => {
    answering(403, '<Error><Code>SignatureDoesNotMatch</Code></Error>');
    await assert.rejects(store.write(DATA, from(Buffer.from('x'))), (error: Error) => {
      assert.match(error.message, /refused a request: 403 SignatureDoesNotMatch\. Check BACKUP_S3_URL/);
      assert.doesNotMatch(JSON.stringify(error) + error.stack, /S3RVER/);
      return true;
    });
    assert.equal(server.requests.length, 1);
    server.fault = () => false;
    const nowhere = new S3Store({ ...server.options, url: server.options.url.replace('backups', 'nothing') });
    await assert.rejects(nowhere.write(DATA, from(Buffer.from('x'))), {
      kind: 'refused',
      message: /NoSuchBucket/,
    });
  });

  it('gets each body with its hashes, signed, so that the server can refuse what was changed on its way', async () => {
    let sent: IncomingHttpHeaders = {};
    server.fault = (request) => {
      sent = request.method === 'PUT' ? { ...request.headers } : sent;
      return false;
    };
    await store.write(DATA, from(Buffer.from('the body')));
    await store.delete(DATA);
    assert.equal(sent['x-amz-content-sha256'], createHash('sha256').update('the body').digest('hex'));
    assert.equal(sent['content-md5'], createHash('md5').update('the body').digest('base64'));
    assert.match(
      sent.authorization as string,
      /^AWS4-HMAC-SHA256 Credential=S3RVER\/\d{8}\/us-east-1\/s3\/aws4_request, SignedHeaders=content-md5;host;x-amz-content-sha256;x-amz-date, Signature=[0-9a-f]{64}$/,
    );
  });

  it('is swept of uploads that nobody ended', async () => {
    const upload = (key: string, initiated: string) =>
      `<Upload><Key>broker/one/${key}</Key><UploadId>an&amp;id</UploadId><Initiated>${initiated}</Initiated></Upload>`;
    const [old, now] = ['2020-01-01T00:00:00.000Z', new Date().toISOString()];
    const list = [upload(DATA, old), upload(MANIFEST, now), upload('somebody-elses', old)].join('');
    answering(200, `<ListMultipartUploadsResult>${list}</ListMultipartUploadsResult>`);
    assert.equal(await store.sweep(60_000), 1);
    assert.equal(server.requests.at(-1), `DELETE /backups/broker/one/${DATA}?uploadId=an%26id`);
    answering(501, '<Error><Code>NotImplemented</Code></Error>');
    assert.equal(await store.sweep(60_000), 0);
  });

  it('may be the host itself', async () => {
    const url = `http://127.0.0.1:${server.port}/broker/one`;
    answering(200, '<ListBucketResult></ListBucketResult>');
    const virtual = new S3Store({ ...server.options, url, style: 'virtual-host' });
    assert.deepEqual(await names(virtual), []);
    await virtual.delete(DATA);
    assert.deepEqual(server.requests, [
      'GET /?list-type=2&prefix=broker%2Fone%2F',
      `DELETE /broker/one/${DATA}`,
    ]);
  });
});
