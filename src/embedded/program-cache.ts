import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import path from 'node:path';

/**
 * Moves a program into a folder of the cache in one step and returns its new path. The program must lie on the same
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
