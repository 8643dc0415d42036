import type { BackupSource, InstanceRecord, OperationRecord, Stored } from '../model.js';
import type { BeforeStep, BrokerLog, InstanceBackups, Records } from '../ports.js';
import { Overtaken, RestoreImpossible } from '../restore-errors.js';
import type { StepOutcome } from './binding-steps.js';
import { finish, operationOf, workOf } from './operations.js';

/** How often the description of the operation is brought up to date, in milliseconds. */
const TELL_MS = 2_000;
const NO_BACKUPS = 'This service broker makes no backups any more, so there is nothing to restore from.';

export interface RestoringParts {
  records: Records;
  log: BrokerLog;
  /** Absent where no backups are made. */
  backups?: InstanceBackups | undefined;
}

/** The record of an instance that is to be filled from a backup by an operation. */
export function restoringFrom(
  instance: InstanceRecord,
  operation: OperationRecord,
  { instance_id, deployment_id, backup_id, keys }: BackupSource,
): InstanceRecord {
  return {
    ...instance,
    state: 'restoring',
    work: workOf(operation),
    restored_from: { instance_id, deployment_id, backup_id, keys },
  };
}

/**
 * Does what an instance demands whose keys come out of a backup: puts them, and marks it ready; takes it back where
 * that is impossible. It can be repeated: a restore begins by deleting what an earlier try has put.
 */
export async function stepRestoring(
  { records, log, backups }: RestoringParts,
  stored: Stored<InstanceRecord>,
  before: BeforeStep,
): Promise<StepOutcome<InstanceRecord>> {
  const { work, restored_from: source, ...rest } = stored.value;
  if (work === undefined || source === undefined) {
    return { current: undefined };
  }
  const { instance_id } = rest;
  const operation = operationOf(work, { instance_id });
  const change = (next: InstanceRecord, finished?: OperationRecord) =>
    records.change({
      instance: { id: instance_id, expected: stored, next },
      ...(finished && { finished: [finished] }),
    });
  try {
    if (backups === undefined) {
      throw new RestoreImpossible(NO_BACKUPS);
    }
    const tell = teller(records, stored, operation, log);
    await backups.restore(source, stored, before, tell);
  } catch (error) {
    if (error instanceof Overtaken) {
      return { current: undefined };
    }
    if (!(error instanceof RestoreImpossible)) {
      throw error;
    }
    log.error({ instance: instance_id, reason: error.message }, 'A backup could not be restored');
    if (work.kind !== 'provision') {
      // What can't be restored was found out before anything was deleted.
      const ended = finish(operation, 'failed', error.message);
      const result = await change({ ...rest, state: 'ready' }, ended);
      return result.done ? { ended } : { current: result.instance };
    }
    const next: InstanceRecord = {
      ...stored.value,
      state: 'deprovisioning',
      work: { ...work, failure: error.message },
    };
    const result = await change(next);
    return { current: result.done ? { value: next, revision: result.revision } : result.instance };
  }
  before();
  const ended = finish(operation, 'succeeded', `restored from the backup ${source.backup_id}`);
  const result = await change({ ...rest, restored_from: source, state: 'ready' }, ended);
  return result.done ? { ended } : { current: result.instance };
}

/** Writes how far it is into the operation's record, which `last_operation` reads. */
function teller(
  records: Records,
  expected: Stored<InstanceRecord>,
  operation: OperationRecord,
  log: BrokerLog,
): (text: string) => void {
  let toldAt = Number.NEGATIVE_INFINITY;
  return (text) => {
    if (performance.now() - toldAt < TELL_MS) {
      return;
    }
    toldAt = performance.now();
    records
      .change({
        instance: { id: expected.value.instance_id, expected },
        opened: { ...operation, description: text },
      })
      .catch((error: unknown) => {
        log.warn({ reason: (error as Error).message }, 'The progress of a restore could not be written down');
      });
  };
}
