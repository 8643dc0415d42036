// Compiles with TypeScript's own compiler when a source is newer than the last successful build.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const stamp = path.join(root, 'dist', '.built');
const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');

function newest(entry) {
  if (!existsSync(entry)) {
    return 0;
  }
  const stat = statSync(entry);
  if (!stat.isDirectory()) {
    return stat.mtimeMs;
  }
  // A folder's own time counts too: it moves when a file in it is deleted.
  return Math.max(stat.mtimeMs, ...readdirSync(entry).map((name) => newest(path.join(entry, name))));
}

export function build() {
  const sources = ['src', 'test', 'bench', 'tsconfig.json', 'package-lock.json'];
  const startedAt = new Date();
  const built = existsSync(stamp) ? statSync(stamp).mtimeMs : 0;
  if (built > Math.max(...sources.map((name) => newest(path.join(root, name))))) {
    return;
  }
  if (!existsSync(compiler)) {
    if (built > 0) {
      return; // a packaged copy without the compiler runs what was built
    }
    console.error('TypeScript is not installed. Run "npm ci" (with development packages), then try again.');
    process.exit(1);
  }
  // Start from nothing, so that the output of a deleted test is not run again.
  rmSync(path.join(root, 'dist'), { recursive: true, force: true });
  const result = spawnSync(process.execPath, [compiler, '-p', root], { cwd: root, stdio: 'inherit' });
  if (result.status !== 0) {
    console.error('The build failed; the lines above say where.');
    process.exit(1);
  }
  // What browsers get is served as it is written.
  const assets = path.join('src', 'dashboard', 'assets');
  cpSync(path.join(root, assets), path.join(root, 'dist', assets), { recursive: true });
  // npm sets this bit only when it installs, and the compiler has just made the file anew.
  chmodSync(path.join(root, 'dist', 'src', 'cli.js'), 0o755);
  writeFileSync(stamp, '');
  utimesSync(stamp, startedAt, startedAt);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  build();
}
