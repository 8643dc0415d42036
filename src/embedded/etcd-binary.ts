import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { unpackDebianPackage } from './debian-package.js';
import { cachedEtcds, isExecutable } from './etcd-cache.js';
import { downloadRelease, RELEASE_VERSION, type ReleaseSource } from './etcd-release.js';
import { runCommand } from './run-command.js';

const VERSION_TIMEOUT_MS = 10_000;

export interface EtcdBinary {
  /** Absolute path of the etcd server program. */
  path: string;
  /** e.g. `3.4.23` */
  version: string;
  /** Where it was found, for the log. */
  source: 'ETCD_BINARY' | 'PATH' | 'cache' | 'release' | 'debian';
}

export interface FindEtcdOptions {
  env: NodeJS.ProcessEnv;
  /** The folder that keeps downloaded programs, one folder a version: by default `<project>/.cache/etcd`. */
  cacheDir: string;
  /** Gets one line for each thing that takes time. */
  onProgress: (line: string) => void;
  /** Where official releases are; given by tests. */
  release?: ReleaseSource;
  /** Whether Debian's packages may be used; true where not given. */
  debian?: boolean;
}

/**
 * Finds an etcd server of version 3.4 or newer: `ETCD_BINARY`, the `PATH`, an earlier run's cache, on Linux the
 * official release from GitHub (checksum verified), at last Debian's package, unpacked without being installed.
 *
 * @throws Error with one line that says what to do, when there is none or when `ETCD_BINARY` can't be used
 */
export async function findEtcd(options: FindEtcdOptions): Promise<EtcdBinary> {
  const { env, cacheDir, onProgress } = options;
  if (env.ETCD_BINARY) {
    return await inspect(path.resolve(env.ETCD_BINARY), 'ETCD_BINARY').catch((error: Error) => {
      throw new Error(
        `ETCD_BINARY can't be used: ${error.message}. Name an etcd server of version 3.4 or newer, or unset it`,
      );
    });
  }
  for (const [source, files] of [
    ['PATH', await onPath(env)],
    ['cache', await cachedEtcds(cacheDir)],
  ] as const) {
    for (const file of files) {
      try {
        return await inspect(file, source);
      } catch (error) {
        onProgress(`Skipping ${file}: ${(error as Error).message}`);
      }
    }
  }
  const sources = {
    release: () => downloadRelease(cacheDir, onProgress, options.release),
    debian: () =>
      options.debian === false
        ? undefined
        : unpackDebianPackage({ packageName: 'etcd-server', program: 'etcd', cacheDir, onProgress }),
  };
  const failures: string[] = [];
  for (const source of process.platform === 'linux' ? (['release', 'debian'] as const) : []) {
    try {
      const file = await sources[source]();
      if (file !== undefined) {
        return await inspect(file, source);
      }
    } catch (error) {
      failures.push((error as Error).message);
      onProgress((error as Error).message);
    }
  }
  const advice =
    process.platform === 'darwin'
      ? 'install it with "brew install etcd", or set ETCD_BINARY to its path'
      : `install etcd ${RELEASE_VERSION} so that it is on the PATH, or set ETCD_BINARY to its path`;
  throw new Error(`No etcd server found: ${advice}${failures.length > 0 ? ` (${failures.join('; ')})` : ''}`);
}

/**
 * Reads the version of an etcd program by running it.
 *
 * @throws Error with one line when the file can't be run, isn't etcd or is older than 3.4
 */
export async function inspect(file: string, source: EtcdBinary['source']): Promise<EtcdBinary> {
  const output = await runCommand(file, ['--version'], {
    timeoutMs: VERSION_TIMEOUT_MS,
    env: etcdEnvironment(),
  });
  const version = /etcd Version: (\d+\.\d+\.\S+)/.exec(output)?.[1];
  if (version === undefined) {
    throw new Error(`${file} is not an etcd server: "--version" does not name etcd's version`);
  }
  if (isOlder(version, '3.4')) {
    throw new Error(`${file} is etcd ${version}, but 3.4 or newer is needed`);
  }
  return { path: file, version, source };
}

/** Whether a version's major and minor numbers come before those of another one. */
export function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [otherMajor = 0, otherMinor = 0] = than.split('.').map(Number);
  return major < otherMajor || (major === otherMajor && minor < otherMinor);
}

/**
 * The environment for etcd. etcd takes every `ETCD_…` variable for a setting of its own, so none of the broker's may
 * reach it, nor may the broker's passwords.
 */
export function etcdEnvironment(): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    // etcd 3.4 does not start on arm64 without it.
    ...(process.arch === 'x64' ? {} : { ETCD_UNSUPPORTED_ARCH: process.arch }),
  };
}

async function onPath(env: NodeJS.ProcessEnv): Promise<string[]> {
  for (const folder of (env.PATH ?? '').split(path.delimiter)) {
    const file = path.resolve(folder, 'etcd');
    if (folder !== '' && (await isExecutable(file))) {
      return [await realpath(file)];
    }
  }
  return [];
}
