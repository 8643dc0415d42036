import { access, constants, readdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { unpackDebianPackage } from './debian-package.js';
import { isMissing } from './durable-file.js';
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
  signal?: AbortSignal;
  /** Where official releases are; given by tests. */
  release?: ReleaseSource;
  /** Whether Debian's packages may be used; on Linux by default. */
  debian?: boolean;
}

/**
 * Finds an etcd server of version 3.4 or newer: `ETCD_BINARY`, the `PATH`, an earlier run's cache, on Linux the
 * official release from GitHub (checksum verified), at last Debian's package, unpacked without being installed.
 *
 * @throws Error with one line that says what to do, when there is none or when `ETCD_BINARY` can't be used
 */
export async function findEtcd(options: FindEtcdOptions): Promise<EtcdBinary> {
  const named = options.env.ETCD_BINARY;
  if (named !== undefined && named !== '') {
    return await inspectNamed(path.resolve(named), options.signal);
  }
  for (const [candidate, source] of [
    ...(await onPath(options.env)).map((file) => [file, 'PATH'] as const),
    ...(await inCache(options.cacheDir)).map((file) => [file, 'cache'] as const),
  ]) {
    try {
      return await inspect(candidate, source, options.signal);
    } catch (error) {
      options.signal?.throwIfAborted();
      options.onProgress(`Skipping ${candidate}: ${messageOf(error)}`);
    }
  }
  const tried: string[] = [];
  if (process.platform === 'linux') {
    for (const attempt of [attemptRelease, attemptDebian]) {
      try {
        const found = await attempt(options);
        if (found !== undefined) {
          return found;
        }
      } catch (error) {
        options.signal?.throwIfAborted();
        tried.push(messageOf(error));
        options.onProgress(messageOf(error));
      }
    }
  }
  throw new Error(`No etcd server found: ${advice()}${tried.length > 0 ? ` (${tried.join('; ')})` : ''}`);
}

/**
 * Reads the version of an etcd program by running it.
 *
 * @throws Error with one line when the file can't be run, isn't etcd or is older than 3.4
 */
export async function inspect(
  file: string,
  source: EtcdBinary['source'],
  signal?: AbortSignal,
): Promise<EtcdBinary> {
  const output = await runCommand(file, ['--version'], {
    timeoutMs: VERSION_TIMEOUT_MS,
    env: etcdEnvironment(),
    signal,
  });
  const match = /etcd Version: ((\d+)\.(\d+)\.\S+)/.exec(output);
  if (match?.[1] === undefined) {
    throw new Error(`${file} is not an etcd server: "--version" does not name etcd's version`);
  }
  const [major, minor] = [Number(match[2]), Number(match[3])];
  if (major < 3 || (major === 3 && minor < 4)) {
    throw new Error(`${file} is etcd ${match[1]}, but 3.4 or newer is needed`);
  }
  return { path: file, version: match[1], source };
}

/**
 * The environment for etcd. etcd takes every `ETCD_…` variable for a setting of its own, so none of the broker's may
 * reach it, nor may the broker's passwords.
 */
export function etcdEnvironment(): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { PATH: process.env.PATH ?? '/usr/bin:/bin' };
  if (process.arch !== 'x64') {
    environment.ETCD_UNSUPPORTED_ARCH = process.arch; // etcd 3.4 does not start on arm64 without it
  }
  return environment;
}

async function inspectNamed(file: string, signal: AbortSignal | undefined): Promise<EtcdBinary> {
  try {
    return await inspect(file, 'ETCD_BINARY', signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw new Error(
      `ETCD_BINARY can't be used: ${messageOf(error)}. Name an etcd server of version 3.4 or newer, or unset it`,
      { cause: error },
    );
  }
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

// Newest version first; folders of unfinished downloads start with a dot.
async function inCache(cacheDir: string): Promise<string[]> {
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
  const files: string[] = [];
  for (const version of versions) {
    const file = path.resolve(cacheDir, version, 'etcd');
    if (await isExecutable(file)) {
      files.push(file);
    }
  }
  return files;
}

async function attemptRelease(options: FindEtcdOptions): Promise<EtcdBinary | undefined> {
  const file = await downloadRelease(options.cacheDir, options);
  return file === undefined ? undefined : await inspect(file, 'release', options.signal);
}

async function attemptDebian(options: FindEtcdOptions): Promise<EtcdBinary | undefined> {
  if (options.debian === false) {
    return undefined;
  }
  const file = await unpackDebianPackage({
    packageName: 'etcd-server',
    program: 'etcd',
    cacheDir: options.cacheDir,
    onProgress: options.onProgress,
    signal: options.signal,
  });
  return await inspect(file, 'debian', options.signal);
}

function advice(): string {
  return process.platform === 'darwin'
    ? 'install it with "brew install etcd", or set ETCD_BINARY to its path'
    : `install etcd ${RELEASE_VERSION} so that it is on the PATH, or set ETCD_BINARY to its path`;
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return true;
  } catch {
    return false; // not there or not allowed: either way it is no candidate
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
