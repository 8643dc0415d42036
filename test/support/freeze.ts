import { readFileSync } from 'node:fs';

const WITHIN_MS = 5_000;

/** Stops a process, and returns when none of its threads runs any more: the signal alone comes a moment later. */
export function freezeProcess(pid: number): void {
  process.kill(pid, 'SIGSTOP');
  const endAt = performance.now() + WITHIN_MS;
  // On a Mac there is nothing to read; there the moment is left to chance.
  while (process.platform === 'linux' && !/^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) {
    if (performance.now() > endAt) {
      throw new Error(`The process ${pid} did not stop`);
    }
  }
}
