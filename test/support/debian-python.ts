import { mkdir, readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { withTemporaryFolder } from '../../src/embedded/etcd-cache.js';
import { runCommand } from '../../src/embedded/run-command.js';

const PROJECT = path.resolve(import.meta.dirname, '../../..');
const CACHE = path.join(PROJECT, '.cache', 'python');
const PYTHON = '/usr/bin/python3';
const PROBE_TIMEOUT_MS = 15_000;
const DOWNLOAD_TIMEOUT_MS = 60_000;
const UNPACK_TIMEOUT_MS = 30_000;
/** What the client needs beyond Python itself. */
const PACKAGES =
  'python3-etcd3 python3-grpcio python3-protobuf python3-six python3-tenacity python3-pkg-resources';

export interface Python {
  program: string;
  env: Record<string, string>;
}

/**
 * Debian's Python with its package `python3-etcd3`: installed, or unpacked into `.cache/python/` without being
 * installed.
 * @throws Error with one line when this system has none
 */
export async function pythonWithEtcd3(): Promise<Python> {
  const unpacked = path.join(CACHE, 'unpacked');
  const candidates = [{}, await environment(unpacked)];
  for (const env of candidates) {
    if (await canImport(env)) {
      return { program: PYTHON, env };
    }
  }
  await unpack(unpacked);
  const env = await environment(unpacked);
  if (!(await canImport(env))) {
    throw new Error("Debian's python3-etcd3 was unpacked, and can't be imported");
  }
  return { program: PYTHON, env };
}

async function unpack(target: string): Promise<void> {
  await withTemporaryFolder(CACHE, async (folder) => {
    const run = (program: string, args: string[], timeoutMs: number) =>
      runCommand(program, args, { timeoutMs, cwd: folder });
    const wanted = PACKAGES.split(' ');
    const needed = await run(
      'apt-cache',
      [
        'depends',
        '--recurse',
        '--no-recommends',
        '--no-suggests',
        '--no-conflicts',
        '--no-breaks',
        ...wanted,
      ],
      PROBE_TIMEOUT_MS,
    );
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own way to write it
    const installed = await run('dpkg-query', ['-W', '-f', '${Package}\n'], PROBE_TIMEOUT_MS);
    const present = new Set(installed.split('\n'));
    // Only what it is made of; what the system has already serves.
    const names = new Set(needed.split('\n').filter((name) => /^(lib|python3-)[a-z0-9.+-]+$/.test(name)));
    const missing = [...names].filter(
      (name) => !present.has(name) && (name.startsWith('lib') || wanted.includes(name)),
    );
    await run(
      'apt-get',
      ['-qq', '-o', 'APT::Sandbox::User=root', 'download', ...missing],
      DOWNLOAD_TIMEOUT_MS,
    );
    await mkdir(path.join(folder, 'unpacked'));
    for (const archive of (await readdir(folder)).filter((name) => name.endsWith('.deb'))) {
      await run('dpkg', ['-x', archive, 'unpacked'], UNPACK_TIMEOUT_MS);
    }
    await rename(path.join(folder, 'unpacked'), target);
  });
}

async function environment(unpacked: string): Promise<Record<string, string>> {
  const libraries = path.join(unpacked, 'usr', 'lib');
  const folders = await readdir(libraries).catch(() => []); // not unpacked yet
  return {
    PYTHONPATH: path.join(libraries, 'python3', 'dist-packages'),
    LD_LIBRARY_PATH: folders
      .filter((name) => name.endsWith('-linux-gnu'))
      .map((name) => path.join(libraries, name))
      .join(':'),
  };
}

/** Whether it can be imported; why not does not matter, since the next way is tried. */
async function canImport(env: Record<string, string>): Promise<boolean> {
  try {
    await runCommand(PYTHON, ['-c', 'import etcd3'], { timeoutMs: PROBE_TIMEOUT_MS, env });
    return true;
  } catch {
    return false;
  }
}
