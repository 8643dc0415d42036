import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { unpackDebianPackage } from '../../src/embedded/debian-package.js';
import { type EtcdBinary, findEtcd, inspect } from '../../src/embedded/etcd-binary.js';
import { cachedEtcds, isExecutable } from '../../src/embedded/etcd-cache.js';
import { runCommand } from '../../src/embedded/run-command.js';

const PROJECT = fileURLToPath(new URL('../../../', import.meta.url));
// Apart from the cache of `npm start`, so that running the tests does not change which etcd the broker takes.
const CACHE = path.join(PROJECT, '.cache', 'test-etcd');
const RETRY_AFTER_MS = 60 * 60 * 1000;
const APT_TIMEOUT_MS = 10_000;

/**
 * Debian's releases whose etcd differs. Each keeps what it got in a cache of its own, since the version in sid is
 * whatever sid has on the day.
 */
const DEBIAN_RELEASES = ['bookworm', 'trixie', 'sid'] as const;
type Suite = (typeof DEBIAN_RELEASES)[number];

let found: Promise<EtcdBinary[]> | undefined;
let control: Promise<string> | undefined;

/**
 * Every etcd version that can be had here, oldest first: Debian 12's (3.4.23), Debian 13's (3.5.16), Debian sid's and
 * the one that `ETCD_BINARY` or the `PATH` names. A version that can't be had is reported on one line and tried again after an hour.
 *
 * @throws Error when there is none at all
 */
export function availableEtcds(): Promise<EtcdBinary[]> {
  found ??= collect();
  return found;
}

/** The path of an etcdctl: the one on the `PATH`, or that of Debian's package. */
export function etcdctl(): Promise<string> {
  control ??= findEtcdctl();
  return control;
}

async function collect(): Promise<EtcdBinary[]> {
  const byVersion = new Map<string, EtcdBinary>();
  for (const suite of DEBIAN_RELEASES) {
    const binary = await debianEtcd(suite);
    if (binary) {
      byVersion.set(binary.version, binary);
    }
  }
  const own = process.env.ETCD_BINARY || (await onPath('etcd'));
  if (own || byVersion.size === 0) {
    const binary = await findEtcd({
      env: process.env,
      cacheDir: path.join(PROJECT, '.cache', 'etcd'),
      onProgress: (line) => console.log(line),
    });
    byVersion.set(binary.version, binary);
  }
  return [...byVersion.values()].sort((a, b) => a.version.localeCompare(b.version, 'en', { numeric: true }));
}

async function debianEtcd(suite: Suite): Promise<EtcdBinary | undefined> {
  const cacheDir = path.join(CACHE, suite);
  const [cached] = await cachedEtcds(cacheDir);
  if (cached !== undefined) {
    return await inspect(cached, 'cache');
  }
  const failure = path.join(CACHE, `${suite}.failed`);
  if (await isRecent(failure)) {
    console.log(`The etcd of Debian's ${suite} is left out: ${(await readFile(failure, 'utf8')).trim()}`);
    return undefined;
  }
  try {
    const file = await unpackDebianPackage({
      packageName: 'etcd-server',
      program: 'etcd',
      cacheDir,
      onProgress: (line) => console.log(`${line} (${suite})`),
      ...((await codename()) === suite ? {} : { sources: await sourcesFor(suite) }),
    });
    return await inspect(file, 'debian');
  } catch (error) {
    const { message } = error as Error;
    console.log(`The etcd of Debian's ${suite} is left out: ${message}`);
    await writeFile(failure, `${message}\n`).catch(() => undefined); // no cache folder: it is tried again next time
    return undefined;
  }
}

async function findEtcdctl(): Promise<string> {
  const present = await onPath('etcdctl');
  if (present) {
    return present;
  }
  const versions = (await readdir(CACHE).catch(() => [])).filter((name) => /^\d/.test(name));
  for (const version of versions) {
    const cached = path.join(CACHE, version, 'etcdctl');
    if (await isExecutable(cached)) {
      return cached;
    }
  }
  return await unpackDebianPackage({
    packageName: 'etcd-client',
    program: 'etcdctl',
    cacheDir: CACHE,
    onProgress: (line) => console.log(line),
  });
}

/** A sources file for another release of Debian, on the mirror that this system uses. */
async function sourcesFor(suite: string): Promise<string> {
  const own = await codename();
  const uris = await runCommand('apt-get', ['update', '--print-uris'], { timeoutMs: APT_TIMEOUT_MS });
  const mirror = uris
    .split('\n')
    .map((line) => /^'(\S+)\/dists\/([^/]+)\/InRelease'/.exec(line))
    .find((match) => match?.[2] === own)?.[1];
  if (mirror === undefined) {
    throw new Error(`apt names no mirror of Debian's release ${own}`);
  }
  const folder = '/usr/share/keyrings';
  // Sid is signed with the keys of the releases.
  const keyrings = (await readdir(folder)).filter((name) => /^debian-archive-.*\.gpg$/.test(name));
  return [
    'Types: deb',
    `URIs: ${mirror}`,
    `Suites: ${suite}`,
    'Components: main',
    `Signed-By: ${keyrings.map((name) => path.join(folder, name)).join(' ')}`,
    '',
  ].join('\n');
}

async function codename(): Promise<string | undefined> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => ''); // not a Linux
  return /^VERSION_CODENAME=(\S+)$/m.exec(release)?.[1];
}

async function onPath(program: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    if (folder !== '' && (await isExecutable(path.join(folder, program)))) {
      return path.join(folder, program);
    }
  }
  return undefined;
}

async function isRecent(file: string): Promise<boolean> {
  const changed = await stat(file).catch(() => undefined);
  return changed !== undefined && Date.now() - changed.mtimeMs < RETRY_AFTER_MS;
}
