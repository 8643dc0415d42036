import { readFileSync } from 'node:fs';

/** Of `/proc/<pid>/stat`, on every Linux that Node runs on. */
const TICKS_A_SECOND = 100;

/** The processor time of a process and its threads so far, in seconds; on Linux only. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The name, which may hold anything, stands in parentheses before the third field.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

/** The memory that a process holds (RSS), in bytes; on Linux only. */
export function residentBytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return Number(kilobytes) * 1_024;
}
