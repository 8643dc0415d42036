import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import path from 'node:path';
import type { Row } from './row.js';

const PACKAGE = path.resolve(import.meta.dirname, '..', '..', 'package.json');

/** The table with all that is needed to judge it, in Markdown. */
export function report(rows: readonly Row[], etcdVersion: string, minutes: number): string {
  const { version } = JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string };
  const [cpu] = cpus();
  const lines = [
    '# Measured',
    '',
    'Made by `npm run bench`. Each figure is a ratio to a floor that was measured in the same run, in turns with it.',
    '',
    `- Date: ${new Date().toISOString().slice(0, 10)}, ${minutes.toFixed(1)} minutes`,
    `- Machine: ${cpu?.model.trim() ?? 'unknown'}, ${cpus().length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GB, ${type()} ${release()}; load, broker and etcd share it`,
    `- Versions: broker ${version}, Node.js ${process.versions.node}, etcd ${etcdVersion} (one member, embedded, TLS, bcrypt cost 4)`,
    '',
    '| what | measured | floor | figure | reach | |',
    '|---|---|---|---|---|---|',
    ...rows.map(
      ({ what, measured, floor, figure, reach, isReached }) =>
        `| ${what} | ${measured} | ${floor} | ${figure} | ${reach} | ${isReached ? 'reached' : '**missed**'} |`,
    ),
    '',
  ];
  return lines.join('\n');
}
