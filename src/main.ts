import { welcome } from './cli/welcome.js';
import { readConfig } from './config/config.js';
import { openLog } from './observability/log.js';

/** How long a failed start may take to close what it opened, in milliseconds. */
const FAREWELL_MS = 1_000;

/** A second signal that comes later than this ends the broker at once. */
const IMPATIENT_MS = 1_000;

const say = (line: string) => {
  process.stdout.write(`${line}\n`);
};

try {
  const config = readConfig(process.env);
  const log = openLog(config.logLevel);
  // Loading all of the broker takes most of a second: a mistake in the settings is reported before.
  const { startApplication } = await import('./application.js');
  const application = await startApplication(config, log, say);
  say(welcome(application, config.cluster.kind).join('\n'));
  let stoppingSince: number | undefined;
  const stop = async (signal: NodeJS.Signals) => {
    if (stoppingSince !== undefined) {
      // A person who asks twice means it. A terminal and npm may each send the first one, so that is not twice.
      if (performance.now() - stoppingSince > IMPATIENT_MS) {
        process.exit(1);
      }
      return;
    }
    stoppingSince = performance.now();
    log.info({ signal }, 'Stopping: what runs is brought to its end first');
    await application.stop();
    log.info({}, 'Stopped');
    log.flush();
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
  // What was started has been stopped by now; should something still be open, it must not keep the failure alive.
  setTimeout(() => process.exit(), FAREWELL_MS).unref();
}
