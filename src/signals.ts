import type { Logger } from './observability/log.js';

/** A second signal that comes later than this ends the process at once, in milliseconds. */
const IMPATIENT_MS = 1_000;

/** On SIGTERM and SIGINT stops what runs and ends the process with status 0. */
export function stopOnSignals(log: Logger, stop: () => Promise<void>): void {
  let stoppingSince: number | undefined;
  const onSignal = async (signal: NodeJS.Signals) => {
    if (stoppingSince !== undefined) {
      // A person who asks twice means it. A terminal and npm may each send the first one, so that is not twice.
      if (performance.now() - stoppingSince > IMPATIENT_MS) {
        process.exit(1);
      }
      return;
    }
    stoppingSince = performance.now();
    log.info({ signal }, 'Stopping: what runs is brought to its end first');
    await stop();
    log.info({}, 'Stopped');
    log.flush();
    process.exit(0);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}
