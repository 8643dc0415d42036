import { sleep } from '../timing.js';

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
