/** How long what the last test began may take to end. etcd3 waits up to 30 s before it finds that it was closed. */
const WITHIN_MS = 45_000;

/**
 * Mocha's process ends by itself when nothing is left running. If something is, this says what and ends the process
 * with the result of the tests, which else would wait for ever.
 */
export const mochaHooks = {
  afterAll(): void {
    setTimeout(() => {
      const counts = new Map<string, number>();
      for (const kind of process.getActiveResourcesInfo()) {
        counts.set(kind, (counts.get(kind) ?? 0) + 1);
      }
      const list = [...counts].map(([kind, count]) => `${count} ${kind}`).join(', ');
      process.stderr.write(`\nSome test left something running: ${list}.\n`);
      process.exit();
    }, WITHIN_MS).unref();
  },
};
