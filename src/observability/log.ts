import { hostname } from 'node:os';
import { type DestinationStream, destination, type Logger, pino } from 'pino';

export type { Logger };

/** So many bytes of lines wait at the most for whoever reads the log; while nobody does, later ones are dropped. */
const MOST_WAITING = 16 << 20;
/** Names this process among those that write to one log. */
const REPLICA = process.env.CF_INSTANCE_GUID ?? `${hostname()}-${process.pid}`;

/**
 * The broker's log: one JSON object a line on standard output.
 *
 * Secrets are kept out by their type ({@link Secret} has no printable form), not by a list of names. Errors are
 * logged by name and message; a stack goes along only for faults of the broker's own.
 */
export function openLog(level: string, stream: DestinationStream = standardOutput()): Logger {
  const formatters = { level: (label: string) => ({ level: label }) };
  return pino(
    { level, base: { replica: REPLICA }, formatters, timestamp: pino.stdTimeFunctions.isoTime },
    stream,
  );
}

/** Lines go out together, 8 kB or a tenth of a second's worth, since each write costs as much as several lines. */
function standardOutput(): DestinationStream {
  return destination({ fd: 1, sync: false, minLength: 8_192, periodicFlush: 100, maxLength: MOST_WAITING });
}
