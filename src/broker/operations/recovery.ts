import { Periodic } from '../../periodic.js';
import { NoSpace } from '../errors.js';
import type { BindingRecord, InstanceRecord, OperationRecord, Stored, Work } from '../model.js';
import type { BrokerLog, ChangeResult, OwnSession, Records } from '../ports.js';
import { RECOVERY_MS } from '../times.js';
import { operationOf } from './operations.js';
import type { Removal } from './removal.js';
import type { Tasks } from './tasks.js';
import type { Worker } from './worker.js';

export interface RecoveryParts {
  records: Records;
  session: OwnSession;
  log: BrokerLog;
  tasks: Tasks;
  worker: Worker;
  removal: Removal;
}

/**
 * Takes over operations whose replica is gone: at start, and whenever a session has run out.
 *
 * Each replica looks once a second; who changes the owner in the record first has it.
 */
export class Recovery {
  readonly #periodic: Periodic;

  constructor(readonly parts: RecoveryParts) {
    this.#periodic = new Periodic({
      what: 'Looking for interrupted operations',
      intervalMs: RECOVERY_MS,
      longestPauseMs: RECOVERY_MS,
      run: (stopping) => this.look(stopping),
      log: parts.log,
    });
  }

  start(): void {
    this.#periodic.start(0);
  }

  stop(): Promise<void> {
    return this.#periodic.stop();
  }

  /** Looks once. */
  async look(stopping?: AbortSignal): Promise<void> {
    const { records, session, log, tasks, worker } = this.parts;
    const { operations, owners } = await records.openOperations(undefined, (key, reason) =>
      log.error({ key, reason }, 'An operation under way is malformed and can not be recovered'),
    );
    for (const open of operations) {
      if (stopping?.aborted) {
        return;
      }
      if (open.owner === session.id) {
        // Its task ended for a reason that was not the end of the operation.
        if (tasks.endOf(open) === undefined) {
          void worker.drive(open);
        }
      } else if (!owners.has(open.owner)) {
        await this.#takeOver(open).catch((error: unknown) => {
          // One record that can't be read must not keep the others waiting.
          const details = { ...detailsOf(open), reason: (error as Error).message };
          log.warn(details, 'Taking over an operation failed; it is tried again');
        });
      }
    }
  }

  async #takeOver(open: OperationRecord): Promise<void> {
    const { records, removal } = this.parts;
    const { instance_id, binding_id } = open;
    if (binding_id === undefined) {
      const stored = await records.readInstance(instance_id);
      await this.#change(open, stored, {
        change: (expected, taken) =>
          records.change({
            instance: { id: instance_id, expected, next: taken.value },
            opened: taken.operation,
          }),
        remove: (instance) => removal.removeInstanceAtOnce(instance),
      });
    } else {
      const stored = await records.readBinding(instance_id, binding_id);
      await this.#change(open, stored, {
        change: (expected, taken) =>
          records.change({
            binding: { instance_id, binding_id, expected, next: taken.value },
            opened: taken.operation,
          }),
        remove: (binding) => removal.removeBindingAtOnce(binding),
      });
    }
  }

  async #change<T extends InstanceRecord | BindingRecord>(
    open: OperationRecord,
    stored: Stored<T> | undefined,
    { change, remove }: Ways<T>,
  ): Promise<void> {
    const { session, log, worker } = this.parts;
    const taken = stored && takenOver(stored, open.id, session.id);
    if (stored === undefined || taken === undefined) {
      return;
    }
    try {
      if ((await change(stored, taken)).done) {
        log.info(detailsOf(open), 'An interrupted operation is taken over');
        void worker.drive(open);
      }
    } catch (error) {
      const isRemoval = stored.value.state === 'unbinding' || stored.value.state === 'deprovisioning';
      if (!(error instanceof NoSpace) || !isRemoval) {
        throw error;
      }
      // A removal never turns back, so it needs no owner.
      await remove(stored);
    }
  }
}

/** How a record is taken over, and how it is removed when there is no space to write that down. */
interface Ways<T> {
  change(expected: Stored<T>, taken: { value: T; operation: OperationRecord }): Promise<ChangeResult>;
  remove(stored: Stored<T>): Promise<void>;
}

function detailsOf({ id, instance_id, binding_id }: OperationRecord): object {
  return { instance_id, binding_id, operation_id: id };
}

/** The record and its operation under a new owner; undefined when the record has moved on. */
function takenOver<T extends { instance_id: string; work?: Work }>(
  { value }: Stored<T>,
  operationId: string,
  owner: string,
): { value: T; operation: OperationRecord } | undefined {
  const { work } = value;
  if (work?.operation_id !== operationId) {
    return undefined;
  }
  const mine = { ...work, owner };
  return { value: { ...value, work: mine }, operation: operationOf(mine, value) };
}
