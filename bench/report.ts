import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import path from 'node:path';
import { type Row, STEADY } from './row.js';

const PACKAGE = path.resolve(import.meta.dirname, '..', '..', 'package.json');

/** What was measured on one version of etcd. */
export interface Measured {
  etcdVersion: string;
  rows: readonly Row[];
}

/** The tables with all that is needed to judge them, in Markdown. */
export function report(measured: readonly Measured[], minutes: number, command = 'npm run bench'): string {
  const { version } = JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string };
  const [cpu] = cpus();
  const lines = [
    '# Measured',
    '',
    `Made by \`${command}\`. Each figure is a ratio to a floor that was measured in the same run, in turns with it.`,
    `Where the floor's own figures spread by more than ${STEADY * 100} % (the distance between their quartiles, as a part of their median), the machine was too busy, and the line says so instead of a verdict.`,
    '',
    `- Date: ${new Date().toISOString().slice(0, 10)}, ${minutes.toFixed(1)} minutes`,
    `- Machine: ${cpu?.model.trim() ?? 'unknown'}, ${cpus().length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GB, ${type()} ${release()}; load, broker and etcd share it`,
    `- Versions: broker ${version}, Node.js ${process.versions.node}; etcd has one member, embedded, TLS, bcrypt cost 4`,
  ];
  for (const { etcdVersion, rows } of measured) {
    lines.push(
      '',
      `## etcd ${etcdVersion}`,
      '',
      '| what | measured | floor | spread of the floor | figure | reach | |',
      '|---|---|---|---|---|---|---|',
      ...rows.map(toLine),
    );
  }
  return `${lines.join('\n')}\n`;
}

function toLine(row: Row): string {
  const { what, measured, floor, floorSpread, figure, reach, isReached } = row;
  const spread = floorSpread === undefined ? '' : `${(floorSpread * 100).toFixed(0)} %`;
  const verdict = isReached ? 'reached' : '**missed**';
  return `| ${what} | ${measured} | ${floor} | ${spread} | ${figure} | ${reach} | ${isSteady(row) ? verdict : 'too busy to tell'} |`;
}

function isSteady({ floorSpread = 0 }: Row): boolean {
  return floorSpread <= STEADY;
}
