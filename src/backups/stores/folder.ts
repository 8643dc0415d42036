import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { syncFolder } from '../../embedded/durable-file.js';
import { readAhead } from '../read-ahead.js';
import { assertName, type BackupStore, NAME, type StoredFile, StoreError } from './store.js';
import { together } from './together.js';

/** So many bytes are written at a time. */
const WRITE_BYTES = 512 * 1024;
const UNFINISHED = /\.part$/;

/** A folder that only the broker's user may look into. Replicas of a broker need one that they share. */
export class FolderStore implements BackupStore {
  /** @param folder an absolute path; it is made at the first write */
  constructor(readonly folder: string) {}

  get where(): string {
    return this.folder;
  }

  async write(name: string, pieces: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<number> {
    assertName(name);
    const target = path.join(this.folder, name);
    const part = `${target}.${randomBytes(6).toString('hex')}.part`;
    try {
      await mkdir(path.dirname(target), { recursive: true, mode: 0o700 });
      const file = await open(part, 'wx', 0o600);
      let bytes = 0;
      try {
        for await (const some of readAhead(together(pieces, WRITE_BYTES, signal))) {
          signal?.throwIfAborted();
          bytes += await writeAll(file, some);
        }
        await file.sync();
      } finally {
        await file.close();
      }
      signal?.throwIfAborted();
      await rename(part, target);
      await syncFolder(path.dirname(target));
      return bytes;
    } catch (error) {
      await rm(part, { force: true }).catch(() => undefined); // swept later
      throw namedError(error, this.folder);
    }
  }

  async *read(name: string, from = 0): AsyncGenerator<Uint8Array> {
    assertName(name);
    const stream = createReadStream(path.join(this.folder, name), { start: from, highWaterMark: 256 * 1024 });
    try {
      yield* stream as AsyncIterable<Uint8Array>;
    } catch (error) {
      throw namedError(error, this.folder);
    } finally {
      stream.destroy();
    }
  }

  async *list(prefix: string): AsyncGenerator<StoredFile> {
    for await (const [name, file] of this.#files()) {
      if (name.startsWith(prefix) && NAME.test(name)) {
        const found = await ifThere(stat(file));
        if (found !== undefined) {
          yield { name, bytes: found.size, at: found.mtimeMs };
        }
      }
    }
  }

  async delete(name: string): Promise<void> {
    assertName(name);
    const target = path.join(this.folder, name);
    try {
      await rm(target, { force: true });
    } catch (error) {
      throw namedError(error, this.folder);
    }
    // The last file's folder goes with it.
    await rmdir(path.dirname(target)).catch(() => undefined);
  }

  async sweep(olderThanMs: number): Promise<number> {
    let count = 0;
    for await (const [name, file] of this.#files()) {
      const found = UNFINISHED.test(name) ? await ifThere(stat(file)) : undefined;
      if (found !== undefined && found.mtimeMs <= Date.now() - olderThanMs) {
        await rm(file, { force: true });
        count += 1;
      }
    }
    return count;
  }

  async *#files(): AsyncGenerator<[name: string, file: string]> {
    for (const deployment of (await ifThere(readdir(this.folder))) ?? []) {
      for (const file of (await ifThere(readdir(path.join(this.folder, deployment)))) ?? []) {
        yield [`${deployment}/${file}`, path.join(this.folder, deployment, file)];
      }
    }
  }
}

async function writeAll(file: FileHandle, pieces: readonly Uint8Array[]): Promise<number> {
  const { bytesWritten } = await file.writev(pieces);
  let bytes = 0;
  for (const piece of pieces) {
    // What a full disk or a signal has cut off.
    for (let at = Math.max(0, bytesWritten - bytes); at < piece.length; ) {
      at += (await file.write(piece, at)).bytesWritten;
    }
    bytes += piece.length;
  }
  return bytes;
}

async function ifThere<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      return undefined;
    }
    throw error;
  }
}

/** What the pieces themselves threw stays as it is. */
function namedError(error: unknown, folder: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined) {
    return error;
  }
  const options = { cause: error };
  switch (code) {
    case 'ENOENT':
      return new StoreError('not found', 'There is no such file in the store of backups.', options);
    case 'ENOSPC':
    case 'EDQUOT':
      return new StoreError('full', `There is no space left in ${folder}. Make room.`, options);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new StoreError(
        'refused',
        `The broker may not write to ${folder} (${code}). Let its user own it.`,
        options,
      );
    default:
      return new StoreError('away', `The folder ${folder} failed: ${(error as Error).message}`, options);
  }
}
