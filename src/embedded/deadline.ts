import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Repeats a check until it gives something other than undefined, and returns that.
 *
 * @returns undefined when the deadline (milliseconds since 1970) has passed first
 */
export async function poll<T>(
  check: () => Promise<T | undefined> | T | undefined,
  deadline: number,
  intervalMs = 20,
): Promise<T | undefined> {
  for (;;) {
    const found = await check();
    if (found !== undefined) {
      return found;
    }
    if (Date.now() + intervalMs > deadline) {
      return undefined;
    }
    await sleep(intervalMs);
  }
}

/**
 * Waits for a promise, but not longer than so many milliseconds.
 *
 * @returns undefined when the time is over first
 */
export async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  const cancel = new AbortController();
  try {
    return await Promise.race([
      promise,
      sleep(milliseconds, undefined, { signal: cancel.signal }).catch((): undefined => undefined),
    ]);
  } finally {
    cancel.abort();
  }
}
