import { welcome } from './cli/welcome.js';
import { readConfig } from './config/config.js';
import { openLog } from './observability/log.js';
import { stopOnSignals } from './signals.js';

/** How long a failed start may take to close what it opened, in milliseconds. */
const FAREWELL_MS = 1_000;

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
  stopOnSignals(log, () => application.stop());
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
  // What was started has been stopped by now; should something still be open, it must not keep the failure alive.
  setTimeout(() => process.exit(), FAREWELL_MS).unref();
}
