import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { placeProgram, withTemporaryFolder } from './program-cache.js';
import { runCommand } from './run-command.js';

const UPDATE_TIMEOUT_MS = 60_000;
const DOWNLOAD_TIMEOUT_MS = 60_000;
const UNPACK_TIMEOUT_MS = 30_000;

export interface DebianPackageOptions {
  /** e.g. `etcd-server` */
  packageName: string;
  /** The program in the package's `/usr/bin`. */
  program: string;
  /** The program is placed in `<cacheDir>/<version>/`. */
  cacheDir: string;
  onProgress: (line: string) => void;
  signal?: AbortSignal | undefined;
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
  const { packageName, signal } = options;
  return await withTemporaryFolder(options.cacheDir, async (folder) => {
    options.onProgress(`Downloading Debian's package ${packageName} with apt-get`);
    if (options.sources === undefined) {
      try {
        await runCommand('apt-get', [...settings(), 'download', packageName], {
          timeoutMs: DOWNLOAD_TIMEOUT_MS,
          cwd: folder,
          signal,
        });
      } catch (error) {
        signal?.throwIfAborted();
        // Most likely the system's package lists are missing or old: try again with lists of our own.
        options.onProgress(`${(error as Error).message}; fetching fresh package lists`);
        await downloadWithOwnLists(options, folder);
      }
    } else {
      await downloadWithOwnLists(options, folder);
    }
    const archive = (await readdir(folder)).find((name) => name.endsWith('.deb'));
    if (archive === undefined) {
      throw new Error(`apt-get brought no package ${packageName}`);
    }
    await runCommand('dpkg', ['-x', archive, 'unpacked'], {
      timeoutMs: UNPACK_TIMEOUT_MS,
      cwd: folder,
      signal,
    });
    const version = /^[^_]+_(?:\d+%3a)?(\d+\.\d+\.\d+)/.exec(archive)?.[1];
    if (version === undefined) {
      throw new Error(`The package ${archive} has an unknown form of version`);
    }
    const program = path.join(folder, 'unpacked', 'usr', 'bin', options.program);
    return await placeProgram(program, path.join(options.cacheDir, version));
  });
}

async function downloadWithOwnLists(options: DebianPackageOptions, folder: string): Promise<void> {
  const own = settings();
  for (const part of ['lists/partial', 'cache/archives/partial', 'state']) {
    await mkdir(path.join(folder, part), { recursive: true });
  }
  own.push('-o', `Dir::State::Lists=${folder}/lists`, '-o', `Dir::Cache=${folder}/cache`);
  if (options.sources !== undefined) {
    const sources = path.join(folder, 'own.sources');
    await writeFile(sources, options.sources);
    own.push('-o', `Dir::Etc::SourceList=${sources}`, '-o', 'Dir::Etc::SourceParts=/dev/null');
  }
  await runCommand('apt-get', [...own, 'update'], {
    timeoutMs: UPDATE_TIMEOUT_MS,
    cwd: folder,
    signal: options.signal,
  });
  await runCommand('apt-get', [...own, 'download', options.packageName], {
    timeoutMs: DOWNLOAD_TIMEOUT_MS,
    cwd: folder,
    signal: options.signal,
  });
}

function settings(): string[] {
  return [
    '-qq',
    // The download goes into a folder of ours, which apt's own user may not be able to write.
    ...['-o', 'APT::Sandbox::User=root'],
    ...['-o', 'Acquire::http::Timeout=5'],
    ...['-o', 'Acquire::https::Timeout=5'],
    ...['-o', 'Acquire::Retries=1'],
    ...['-o', 'Acquire::Languages=none'],
  ];
}
