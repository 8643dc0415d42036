import { NoSpace, Unavailable } from '../errors.js';
import type { Stored } from '../model.js';
import type { BrokerParts } from '../parts.js';
import type { ChangeResult, RecordChange } from '../ports.js';

/** So often a request decides again when the records have changed meanwhile. */
export const MOST_ROUNDS = 10;

/** Writes the intent of a removal, if there is room for it. */
export async function begin(
  { records }: Pick<BrokerParts, 'records'>,
  change: RecordChange,
): Promise<ChangeResult | 'no space'> {
  try {
    return await records.change(change);
  } catch (error) {
    if (error instanceof NoSpace) {
      return 'no space';
    }
    throw error;
  }
}

/**
 * Why an intent was refused although nothing has changed: it needs this replica's session, which is gone.
 * @throws Unavailable if that is so
 */
export function assertChanged(
  expected: Stored<unknown> | undefined,
  found: Stored<unknown> | undefined,
): void {
  if (expected?.revision === found?.revision) {
    throw new Unavailable('The service broker has lost its session with etcd. Try again in a few seconds.');
  }
}

/** What a request comes to when its decision was overtaken again and again. */
export function changesAllTheTime(what: 'instance' | 'binding'): Unavailable {
  return new Unavailable(`The service ${what} changes all the time. Try again in a few seconds.`);
}
