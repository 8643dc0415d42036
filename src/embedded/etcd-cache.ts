import { access, constants, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { isMissing } from './durable-file.js';

/** The etcd servers in the cache, which has a folder for each version, newest first. */
export async function cachedEtcds(cacheDir: string): Promise<string[]> {
  let versions: string[];
  try {
    versions = (await readdir(cacheDir)).filter((name) => /^\d+\.\d+\.\d+/.test(name));
  } catch (error) {
    if (isMissing(error)) {
      return [];
    }
    throw error;
  }
  versions.sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
  const files = versions.map((version) => path.resolve(cacheDir, version, 'etcd'));
  const usable = await Promise.all(files.map(isExecutable));
  return files.filter((_, index) => usable[index]);
}

export async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return true;
  } catch {
    return false; // not there or not allowed: either way it can't be used
  }
}

/**
 * Moves a program into a folder of the cache in one step and returns its new path. The program must be on the same
 * file system. Where a concurrent run was quicker, its copy is replaced by the same program: running processes keep
 * theirs.
 */
export async function placeProgram(program: string, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const target = path.join(folder, path.basename(program));
  await rename(program, target);
  return target;
}

/** Runs an action with a temporary folder inside the cache, which is removed afterwards. */
export async function withTemporaryFolder<T>(
  cacheDir: string,
  action: (folder: string) => Promise<T>,
): Promise<T> {
  await mkdir(cacheDir, { recursive: true });
  const folder = await mkdtemp(path.join(path.resolve(cacheDir), '.unpack-'));
  try {
    return await action(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
