import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { placeProgram, withTemporaryFolder } from './etcd-cache.js';
import { runCommand } from './run-command.js';

const FETCH_TIMEOUT_MS = 60_000;
const UNPACK_TIMEOUT_MS = 30_000;
const SETTINGS = [
  '-qq',
  // The download goes into a folder of ours, which apt's own user may not be able to write.
  ...['-o', 'APT::Sandbox::User=root'],
  ...['-o', 'Acquire::http::Timeout=5'],
  ...['-o', 'Acquire::https::Timeout=5'],
  ...['-o', 'Acquire::Retries=1'],
  ...['-o', 'Acquire::Languages=none'],
];

export interface DebianPackageOptions {
  /** e.g. `etcd-server` */
  packageName: string;
  /** The program in the package's `/usr/bin`. */
  program: string;
  /** The program is placed in `<cacheDir>/<version>/`. */
  cacheDir: string;
  onProgress: (line: string) => void;
  /** Text of a deb822 sources file to use instead of the system's package sources. */
  sources?: string;
}

/**
 * Downloads a Debian package with the system's own apt, which verifies its signature, and unpacks one program of it
 * into the cache. Nothing is installed and the system's package lists stay as they are.
 *
 * @returns the program's path
 * @throws Error with one line when this system has no apt or the package can't be had
 */
export async function unpackDebianPackage(options: DebianPackageOptions): Promise<string> {
  const { packageName, sources } = options;
  return await withTemporaryFolder(options.cacheDir, async (folder) => {
    const apt = (...args: string[]) =>
      runCommand('apt-get', [...SETTINGS, ...args], { timeoutMs: FETCH_TIMEOUT_MS, cwd: folder });
    options.onProgress(`Downloading Debian's package ${packageName} with apt-get`);
    try {
      if (sources !== undefined) {
        throw new Error("These sources are not the system's");
      }
      await apt('download', packageName);
    } catch (error) {
      // Most likely the system's package lists are missing or old: try again with lists of our own.
      if (sources === undefined) {
        options.onProgress(`${(error as Error).message}; fetching fresh package lists`);
      }
      const own = await ownLists(folder, sources);
      await apt(...own, 'update');
      await apt(...own, 'download', packageName);
    }
    const archive = (await readdir(folder)).find((name) => name.endsWith('.deb'));
    const version = /^[^_]+_(?:\d+%3a)?(\d+\.\d+\.\d+)/.exec(archive ?? '')?.[1];
    if (archive === undefined || version === undefined) {
      throw new Error(`apt-get brought no package ${packageName} with a version as expected`);
    }
    await runCommand('dpkg', ['-x', archive, 'unpacked'], { timeoutMs: UNPACK_TIMEOUT_MS, cwd: folder });
    const program = path.join(folder, 'unpacked', 'usr', 'bin', options.program);
    return await placeProgram(program, path.join(options.cacheDir, version));
  });
}

/** The arguments with which apt keeps its lists in a folder, and reads these sources if they are given. */
async function ownLists(folder: string, sources: string | undefined): Promise<string[]> {
  for (const part of ['lists/partial', 'cache/archives/partial']) {
    await mkdir(path.join(folder, part), { recursive: true });
  }
  const own = ['-o', `Dir::State::Lists=${folder}/lists`, '-o', `Dir::Cache=${folder}/cache`];
  if (sources !== undefined) {
    const file = path.join(folder, 'own.sources');
    await writeFile(file, sources);
    own.push('-o', `Dir::Etc::SourceList=${file}`, '-o', 'Dir::Etc::SourceParts=/dev/null');
  }
  return own;
}
