import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { memberDataDir } from '../../src/embedded/layout.js';

/** The ids of the running etcd processes whose data is in this data folder; their guardians are not among them. */
export async function etcdsUsing(dataDir: string): Promise<number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-axww', '-o', 'pid=,stat=,command='], {
    maxBuffer: 2 ** 24,
  });
  const argument = ` --data-dir=${path.dirname(memberDataDir(dataDir, '-'))}/`;
  return stdout
    .split('\n')
    .filter((line) => line.includes(argument) && !/^ *\d+ +Z/.test(line) && !line.includes('etcd-guardian'))
    .map((line) => Number.parseInt(line, 10));
}
