// Makes a fresh clone ready: installs the packages of the lock file if they are missing or older, then builds.
// Uses nothing but Node itself, since nothing else is there yet.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

function modifiedAt(file) {
  return existsSync(file) ? statSync(file).mtimeMs : 0;
}

export function setUp() {
  // npm writes this file last, so it is there only after a successful install.
  const installed = modifiedAt(path.join(root, 'node_modules', '.package-lock.json'));
  if (installed < modifiedAt(path.join(root, 'package-lock.json'))) {
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
    console.error('Installing the packages of package-lock.json …');
    const result = spawnSync(npm, ['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    if (result.status !== 0) {
      console.error('npm ci failed. Check that the npm registry can be reached, then try again.');
      process.exit(1);
    }
  }
  build();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setUp();
}
