import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { readBackup } from '../../../src/backups/format/read.js';
import {
  BackupDamaged,
  type BackupHeader,
  type BackupRecord,
  type BackupTrailer,
} from '../../../src/backups/format/records.js';
import { CHUNK_BYTES, seal } from '../../../src/backups/format/sealed-stream.js';
import { backupBytes } from '../../../src/backups/format/write.js';
import { encryptionKey, Sealer } from '../../../src/credentials/seal.js';
import { Secret } from '../../../src/credentials/secret.js';

const sealerOf = (...texts: string[]) =>
  new Sealer(texts.map((text) => encryptionKey(new Secret(Buffer.alloc(32, text).toString('base64')))));
const keys = sealerOf('a');
const HEADER: BackupHeader = {
  format: 1,
  backup_id: '1'.repeat(24),
  deployment_id: 'd'.repeat(24),
  instance_id: 'i',
  service_id: 's',
  plan_id: 'p',
  revision: '7',
  etcd_version: '3.5.16',
  created_at: '2026-01-01T00:00:00.000Z',
};

async function* from<T>(...items: T[]): AsyncGenerator<T> {
  yield* items;
}

async function written(
  pages: readonly BackupRecord[][],
  by = keys,
): Promise<{ bytes: Buffer; trailer: BackupTrailer }> {
  const parts: Buffer[] = [];
  let trailer: BackupTrailer | undefined;
  const onEnd = (told: BackupTrailer) => {
    trailer = told;
  };
  for await (const part of backupBytes(
    () => HEADER,
    from(...(pages.length === 0 ? [[]] : pages)),
    by,
    onEnd,
  )) {
    parts.push(part);
  }
  return { bytes: Buffer.concat(parts), trailer: trailer as BackupTrailer };
}

async function read(bytes: Buffer, pieces = 1, by = keys) {
  const records: BackupRecord[] = [];
  const headers: BackupHeader[] = [];
  const size = Math.max(1, Math.ceil(bytes.length / pieces));
  const parts = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
    bytes.subarray(at * size, (at + 1) * size),
  );
  const trailer = await readBackup(from(...parts), by, {
    header: (header) => headers.push(header),
    records: async (some) => {
      records.push(...some);
    },
  });
  return { headers, records, trailer };
}

/** Comparable: buffers of any origin as hexadecimal. */
const plain = (records: readonly BackupRecord[]) =>
  records.map((record) =>
    record.type === 'key'
      ? {
          ...record,
          key: Buffer.from(record.key).toString('hex'),
          value: Buffer.from(record.value).toString('hex'),
        }
      : { ...record },
  );

const record: fc.Arbitrary<BackupRecord> = fc.oneof(
  fc.record({
    type: fc.constant('key space' as const),
    name: fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}$/),
  }),
  fc.record({
    type: fc.constant('lease' as const),
    id: fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }),
    granted: fc.nat(),
    remaining: fc.nat(),
  }),
  fc.record({
    type: fc.constant('key' as const),
    key: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    value: fc.uint8Array({ maxLength: 200 }),
    lease: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
  }),
);
/** Three chunks and a bit, which does not become smaller. */
const large: BackupRecord[] = [
  { type: 'key', key: Buffer.from('k'), value: randomBytes(3 * CHUNK_BYTES + 100), lease: 0n },
];

describe("A backup's bytes", () => {
  it('hold what was written, however they are cut into pieces', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(record, { maxLength: 6 }), { maxLength: 5 }),
        fc.integer({ min: 1, max: 50 }),
        async (pages, pieces) => {
          const { bytes, trailer } = await written(pages);
          const found = await read(bytes, pieces);
          assert.deepEqual(found.headers, [HEADER]);
          assert.deepEqual(plain(found.records), plain(pages.flat()));
          assert.deepEqual(found.trailer, trailer);
          assert.equal(trailer.keys, pages.flat().filter(({ type }) => type === 'key').length);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('hold values of any length', async () => {
    for (const length of [0, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 1_400_000, 5_000_000]) {
      const value = randomBytes(length);
      const { bytes } = await written([[{ type: 'key', key: Buffer.from('k'), value, lease: 0n }]]);
      const [found] = (await read(bytes, 7)).records;
      assert.ok(found?.type === 'key' && value.equals(found.value), `${length}`);
    }
  });

  it('are never the same twice, and show nothing of what is in them', async () => {
    const pages: BackupRecord[][] = [
      [{ type: 'key', key: Buffer.from('the-key'), value: Buffer.from('the-value'), lease: 0n }],
    ];
    const [one, other] = [await written(pages), await written(pages)];
    assert.ok(!one.bytes.subarray(48).equals(other.bytes.subarray(48)));
    for (const text of ['the-key', 'the-value', HEADER.deployment_id]) {
      assert.equal(one.bytes.includes(text), false, text);
    }
  });

  it('open under any key that is held, and under no other', async () => {
    const { bytes } = await written([large], sealerOf('old'));
    assert.equal((await read(bytes, 1, sealerOf('new', 'old'))).records.length, 1);
    await assert.rejects(
      read(bytes, 1, sealerOf('new')),
      /needs the encryption key [0-9a-f]{8}, which BROKER_ENCRYPTION_KEY does not hold/,
    );
  });

  it('are refused with any bit changed', async () => {
    const { bytes } = await written([large]);
    const places = [
      ...Array.from({ length: 60 }, (_, at) => at),
      ...Array.from({ length: 200 }, () => Math.floor(Math.random() * bytes.length)),
      bytes.length - 1,
    ];
    for (const at of places) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ (1 << (at % 8));
      await assert.rejects(
        read(changed),
        (error: Error) => ['BackupDamaged', 'SealError'].includes(error.name),
        `byte ${at}`,
      );
    }
  });

  it('are refused where they are cut off, or have more', async () => {
    const { bytes } = await written([large]);
    for (const length of [
      0,
      10,
      47,
      48,
      50,
      60,
      CHUNK_BYTES,
      48 + CHUNK_BYTES + 20,
      bytes.length - 17,
      bytes.length - 1,
    ]) {
      await assert.rejects(read(bytes.subarray(0, length)), { name: 'BackupDamaged' }, `${length} bytes`);
    }
    await assert.rejects(read(Buffer.concat([bytes, bytes.subarray(48)])), { name: 'BackupDamaged' });
  });

  it('are refused with chunks in another order, left out, or of another backup', async () => {
    const { bytes } = await written([large]);
    const other = (await written([large])).bytes;
    const sealed = CHUNK_BYTES + 20;
    const chunk = (from: Buffer, number: number) =>
      from.subarray(48 + number * sealed, 48 + (number + 1) * sealed);
    const rest = bytes.subarray(48 + 2 * sealed);
    const head = bytes.subarray(0, 48);
    for (const chunks of [
      [chunk(bytes, 1), chunk(bytes, 0)],
      [chunk(bytes, 1)],
      [chunk(bytes, 0), chunk(bytes, 0), chunk(bytes, 1)],
      [chunk(other, 0), chunk(bytes, 1)],
    ]) {
      await assert.rejects(read(Buffer.concat([head, ...chunks, rest])), { name: 'BackupDamaged' });
    }
    // Its own beginning, sealed as the end.
    const ended: Buffer[] = [];
    for await (const part of seal(
      from({ parts: [Buffer.from('x')], isCompressed: false }),
      Buffer.alloc(32),
      head,
    )) {
      ended.push(part);
    }
    await assert.rejects(read(Buffer.concat([head, chunk(bytes, 0), ...ended])), { name: 'BackupDamaged' });
  });

  it('are refused in words that say what to do', async () => {
    await assert.rejects(read(Buffer.from('{"json": "no backup at all, and long enough to be one"}')), {
      message: 'This is not a backup of compose-etcd-broker.',
    });
    const { bytes } = await written([large]);
    const later = Buffer.from(bytes);
    later[8] = 2;
    await assert.rejects(read(later), {
      message: 'The backup has the format 2, which this release does not know.',
    });
    assert.ok(new BackupDamaged('x') instanceof Error);
  });

  it('end the writer with the error of who gives the records, and leave nothing running', async () => {
    async function* failing(): AsyncGenerator<BackupRecord[]> {
      yield large;
      throw new Error('etcd went away');
    }
    const all = async () => {
      for await (const _ of backupBytes(
        () => HEADER,
        failing(),
        keys,
        () => undefined,
      )) {
        // nothing is kept
      }
    };
    await assert.rejects(all, { message: 'etcd went away' });
  });
});
