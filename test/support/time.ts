/**
 * Repeats a check until it holds.
 * @throws what the check threw last, when it has not held within so many milliseconds
 */
export async function eventually<T>(check: () => Promise<T>, milliseconds = 10_000): Promise<T> {
  const until = performance.now() + milliseconds;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > until) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
