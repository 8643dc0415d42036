import { spawn } from 'node:child_process';
import path from 'node:path';
import type { BrokerProcess } from './broker-process.js';
import type { Row } from './row.js';

const PROGRAM = path.resolve(import.meta.dirname, '..', 'src', 'cli.js');
const TIMEOUT_MS = 60_000;
const REACH_SECONDS = 5;

/** Times the operators' `check`, from the start of its process to its end, beside the running broker. */
export async function check(broker: BrokerProcess, bindings: number, ...args: string[]): Promise<Row> {
  const startedAt = performance.now();
  await run(args, { PATH: process.env.PATH, DATA_DIR: broker.dataDir });
  const seconds = (performance.now() - startedAt) / 1_000;
  return {
    what: `\`${['check', ...args].join(' ')}\` with ${bindings} bindings`,
    measured: `${seconds.toFixed(2)} s`,
    floor: 'none',
    figure: `${seconds.toFixed(2)} s`,
    reach: `under ${REACH_SECONDS} s`,
    isReached: seconds < REACH_SECONDS,
  };
}

function run(args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, 'check', ...args], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: TIMEOUT_MS,
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) {
        resolve();
      } else {
        reject(new Error(`check ended with ${code}: ${output.slice(-2_000)}`));
      }
    });
  });
}
