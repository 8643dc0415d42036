import { Periodic } from '../../periodic.js';
import type { OperationRecord, Stored, Work } from '../model.js';
import type { RecordChange } from '../ports.js';
import { operationOf } from './operations.js';
import type { Worker, WorkerParts } from './worker.js';

const LOOK_MS = 1_000;

/**
 * Takes over operations whose replica is gone: at start, and whenever a session has run out.
 *
 * Each replica looks once a second; who changes the owner in the record first has it.
 */
export class Recovery {
  readonly #periodic: Periodic;

  constructor(
    readonly parts: WorkerParts,
    readonly worker: Worker,
  ) {
    this.#periodic = new Periodic({
      what: 'Looking for interrupted operations',
      intervalMs: LOOK_MS,
      longestPauseMs: LOOK_MS,
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
    const { records, session } = this.parts;
    const { operations, owners } = await records.openOperations();
    for (const open of operations) {
      if (stopping?.aborted) {
        return;
      }
      if (open.owner === session.id) {
        // Its task ended for a reason that was not the end of the operation.
        if (this.worker.runningTask(open) === undefined) {
          void this.worker.drive(open);
        }
      } else if (!owners.has(open.owner)) {
        await this.#takeOver(open).catch((error: unknown) => {
          // One record that can't be read must not keep the others waiting.
          const { id, instance_id, binding_id } = open;
          const details = { instance_id, binding_id, operation_id: id, reason: (error as Error).message };
          this.parts.log.warn(details, 'Taking over an operation failed; it is tried again');
        });
      }
    }
  }

  async #takeOver(open: OperationRecord): Promise<void> {
    const { records, session } = this.parts;
    const { instance_id, binding_id, id } = open;
    if (binding_id === undefined) {
      const stored = await records.readInstance(instance_id);
      const taken = stored && takenOver(stored, id, session.id);
      if (taken === undefined) {
        return;
      }
      const instance = { id: instance_id, expected: stored, next: taken.value };
      await this.#change({ instance, opened: taken.operation }, open);
    } else {
      const stored = await records.readBinding(instance_id, binding_id);
      const taken = stored && takenOver(stored, id, session.id);
      if (taken === undefined) {
        return;
      }
      const binding = { instance_id, binding_id, expected: stored, next: taken.value };
      await this.#change({ binding, opened: taken.operation }, open);
    }
  }

  async #change(change: RecordChange, open: OperationRecord): Promise<void> {
    const result = await this.parts.records.change(change);
    if (result.done) {
      const { id, instance_id, binding_id } = open;
      const details = { instance_id, binding_id, operation_id: id };
      this.parts.log.info(details, 'An interrupted operation is taken over');
      void this.worker.drive(open);
    }
  }
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
