import assert from 'node:assert/strict';
import zlib from 'node:zlib';
import { COMPRESSION, Compression, compressed, decompress } from '../../../src/backups/format/compression.js';
import { CHUNK_BYTES, type Chunk } from '../../../src/backups/format/sealed-stream.js';

async function packed(...parts: Buffer[]): Promise<Chunk> {
  async function* one() {
    yield parts;
  }
  const chunks: Chunk[] = [];
  for await (const chunk of compressed(one())) {
    chunks.push(chunk);
  }
  assert.equal(chunks.length, 1);
  return chunks[0] as Chunk;
}

describe('Chunks of a backup', () => {
  it('are compressed where they become smaller, and come back', async () => {
    const text = [Buffer.alloc(100_000, 'word '), Buffer.alloc(CHUNK_BYTES - 100_000, 'another ')];
    const chunk = await packed(...text);
    assert.ok(chunk.isCompressed);
    const [bytes, ...more] = chunk.parts as [Buffer, ...Buffer[]];
    assert.equal(more.length, 0);
    assert.ok(bytes.length < 10_000);
    assert.deepEqual(await decompress(bytes, COMPRESSION), Buffer.concat(text));
  });

  it('stay as they are, and are not copied, where they do not', async () => {
    for (const length of [100, CHUNK_BYTES]) {
      const random = crypto.getRandomValues(Buffer.alloc(Math.min(length, 65_536)));
      const parts = Array.from({ length: Math.ceil(length / random.length) }, () => random);
      const chunk = await packed(...parts);
      assert.equal(chunk.isCompressed, false);
      assert.ok(chunk.parts.every((part) => part === random));
    }
  });

  it('are refused when more comes out of them than can have gone in', async () => {
    const bomb = zlib.deflateRawSync(Buffer.alloc(CHUNK_BYTES + 1));
    await assert.rejects(decompress(bomb, Compression.deflate), { name: 'BackupDamaged' });
    await assert.rejects(decompress(Buffer.from('not compressed'), Compression.deflate), {
      message: 'The backup can not be decompressed.',
    });
  });

  it('are refused when nobody can decompress them, in words that say what would', async () => {
    await assert.rejects(decompress(Buffer.alloc(3), 3), { message: /in a way that is not known \(3\)/ });
    const zstd = decompress(Buffer.alloc(3), Compression.zstd);
    const message =
      COMPRESSION === Compression.zstd
        ? 'The backup can not be decompressed.'
        : /needs Node\.js 22\.15 or later/;
    await assert.rejects(zstd, { name: 'BackupDamaged', message });
  });
});
