import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { withTimeout } from '../timing.js';
import { etcdEnvironment } from './etcd-binary.js';

/**
 * The guardian is a shell that starts etcd and waits for the end of its standard input, a pipe that the broker holds.
 * However the broker dies, the kernel closes that pipe, and the guardian kills its process group, which is etcd and
 * itself: etcd loses nothing by that. When etcd ends first, the guardian ends with its status.
 *
 * It prints etcd's process id. etcd takes over its standard error.
 */
const GUARDIAN = `
exec 3<&0 4>&1 >/dev/null
"$@" </dev/null 3<&- 4>&- &
etcd=$!
exec 2>/dev/null
echo "$etcd" >&4
exec 4>&-
(while read -r _; do :; done <&3; kill -KILL 0) &
watcher=$!
exec 3<&-
wait "$etcd"
status=$?
kill -KILL "$watcher"
exit "$status"
`;

const PID_TIMEOUT_MS = 5_000;
const LAST_LINE_MS = 1_000;

export interface GuardedProcess {
  /** The process id of etcd itself. */
  readonly pid: number;
  /** Resolves when etcd has ended, with a phrase that says how, e.g. `ended with status 1`. Never rejects. */
  readonly exited: Promise<string>;
  readonly running: boolean;
  /** Sends a signal to etcd; nothing happens if it has ended. */
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
}

/**
 * Starts etcd so that it can't outlive this process.
 *
 * @param onLine gets each line that etcd writes to its standard error
 * @throws Error when the guardian can't be started or does not report etcd's process id within 5 s
 */
export async function startGuarded(
  program: string,
  args: readonly string[],
  onLine: (line: string) => void,
): Promise<GuardedProcess> {
  // A session and a process group of its own: Ctrl-C in a terminal must reach the broker alone, which then drains
  // before it stops etcd.
  const guardian = spawn('/bin/sh', ['-c', GUARDIAN, 'etcd-guardian', program, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: etcdEnvironment(),
    detached: true,
  });
  let running = true;
  const exited = new Promise<string>((resolve) => {
    const settle = (how: string) => {
      running = false;
      guardian.stdin.destroy();
      resolve(how);
    };
    guardian.once('error', (error) => settle(`could not be started: ${error.message}`));
    guardian.once('exit', (code, signal) => {
      if (signal !== null && guardian.pid !== undefined) {
        send(-guardian.pid, 'SIGKILL'); // a guardian that was killed by itself leaves etcd in its group
      }
      settle(describe(code, signal));
    });
  });
  guardian.stdin.on('error', () => undefined); // a guardian that has ended: 'exit' says so
  createInterface({ input: guardian.stderr, crlfDelay: Number.POSITIVE_INFINITY }).on('line', onLine);
  try {
    const pid = await readPid(guardian, exited);
    return {
      pid,
      exited,
      get running() {
        return running;
      },
      kill: (signal) => {
        if (running) {
          send(pid, signal);
        }
      },
    };
  } catch (error) {
    guardian.stdin.destroy();
    throw error;
  }
}

async function readPid(
  guardian: ChildProcess & { stdout: NodeJS.ReadableStream },
  exited: Promise<string>,
): Promise<number> {
  const lines = createInterface({ input: guardian.stdout });
  const pid = once(lines, 'line').then(([line]) => Number(line));
  const closed = once(lines, 'close');
  const end = exited.then(async (how): Promise<never> => {
    // Its end may be seen before what it has printed: then etcd was started, and has ended at once.
    await withTimeout(closed, LAST_LINE_MS);
    throw new Error(`etcd's guardian ${how}`);
  });
  const found = await withTimeout(Promise.race([pid, end]), PID_TIMEOUT_MS);
  if (found === undefined) {
    throw new Error(`etcd's guardian did not answer within ${PID_TIMEOUT_MS} ms`);
  }
  return found;
}

function describe(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal !== null) {
    return `lost its guardian by ${signal}`;
  }
  // A shell reports a child that a signal ended as 128 and the signal's number.
  return code !== null && code > 128 ? `was ended by signal ${code - 128}` : `ended with status ${code}`;
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') {
      throw error;
    }
  }
}
