import type { BindingRecord, InstanceRecord, Stored } from '../model.js';
import type { BeforeStep, BrokerLog, InstanceBackups, OwnSession } from '../ports.js';
import { FIRST_PAUSE_MS, LONGEST_PAUSE_MS } from '../times.js';
import { type BindingStepParts, type StepOutcome, stepBinding } from './binding-steps.js';
import { type Ended, endWithRecord, type Resource } from './operations.js';
import type { Removal } from './removal.js';
import { stepRestoring } from './restoring.js';
import { Stopping, Superseded, type Task, type Tasks } from './tasks.js';

export interface WorkerParts extends BindingStepParts {
  session: OwnSession;
  log: BrokerLog;
  /** Absent where no backups are made. */
  backups?: InstanceBackups | undefined;
}

type AnyRecord = Stored<InstanceRecord> | Stored<BindingRecord>;

/**
 * Carries out what the records say is under way, step by step, until each record is whole or gone.
 *
 * A task looks only at the record: what state is it in, what does that state demand? So a task can be stopped
 * anywhere, by a crash too, and started again by any replica, and a record that another request has turned round
 * (an unbind during a bind) is simply carried on in the other direction. For each record there is one owner at a
 * time, and in the owner one task.
 *
 * A deletion that can't wait takes the record away from its owner. The task then finds the record gone and removes
 * what it has made: its names are in no other record and never will be.
 */
export class Worker {
  constructor(
    readonly parts: WorkerParts,
    readonly tasks: Tasks,
    readonly removal: Removal,
  ) {}

  /**
   * Starts the task of a record that this replica owns, or tells the running one that the record has changed.
   * @param known the record as it was just written, to save a read
   * @returns a promise that is fulfilled when the task has ended, however it ended; it is never rejected
   */
  drive(resource: Resource, known?: AnyRecord): Promise<Ended | undefined> {
    let first = known;
    return this.tasks.start(resource, (task) => {
      const start = first;
      first = undefined;
      return this.#work(resource, start, task);
    });
  }

  async #work(resource: Resource, known: AnyRecord | undefined, task: Task): Promise<Ended | undefined> {
    let current = known;
    /** The record as this task has worked on it last. */
    let mine: AnyRecord | undefined;
    let pause = FIRST_PAUSE_MS;
    for (;;) {
      try {
        if (current === undefined || task.isSuperseded) {
          await task.settle();
          current = await this.#read(resource);
        }
        const lost = await this.#cleanUp(mine, current, task);
        const work = current?.value.work;
        if (current === undefined || work === undefined || work.owner !== this.parts.session.id) {
          return lost;
        }
        mine = current;
        const outcome = await this.#step(current, () => {
          task.before();
          this.parts.session.assertOwns(work.owner);
        });
        if ('ended' in outcome) {
          const { id, state, description } = outcome.ended;
          return { operation_id: id, state, description };
        }
        current = outcome.current;
        pause = FIRST_PAUSE_MS;
      } catch (error) {
        if (error instanceof Stopping) {
          throw error;
        }
        current = undefined;
        if (!(error instanceof Superseded)) {
          const details = { ...resource, reason: (error as Error).message };
          this.parts.log.warn(details, 'A step of an operation failed; it is tried again');
          await task.pause(pause);
          pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
        }
      }
    }
  }

  #step(
    record: AnyRecord,
    before: BeforeStep,
  ): Promise<StepOutcome<InstanceRecord> | StepOutcome<BindingRecord>> {
    return isBinding(record)
      ? stepBinding(this.parts, record, before)
      : this.#stepInstance(record as Stored<InstanceRecord>, before);
  }

  #stepInstance(record: Stored<InstanceRecord>, before: BeforeStep): Promise<StepOutcome<InstanceRecord>> {
    return record.value.state === 'restoring'
      ? stepRestoring(this.parts, record, before)
      : this.removal.stepInstance(record, before);
  }

  /**
   * Removes what was made for a record that is gone.
   * @returns how the work on it has ended; undefined when it is not gone
   */
  async #cleanUp(
    mine: AnyRecord | undefined,
    current: AnyRecord | undefined,
    task: Task,
  ): Promise<Ended | undefined> {
    if (mine?.value.work === undefined || isSame(mine, current)) {
      return undefined;
    }
    if (isBinding(mine)) {
      await this.parts.clusters.of(mine.value).access.revoke(mine.value, task.unlessStopping);
    }
    return endWithRecord(mine.value.work);
  }

  #read({ instance_id, binding_id }: Resource): Promise<AnyRecord | undefined> {
    const { records } = this.parts;
    return binding_id === undefined
      ? records.readInstance(instance_id)
      : records.readBinding(instance_id, binding_id);
  }
}

function isBinding(record: AnyRecord): record is Stored<BindingRecord> {
  return 'binding_id' in record.value;
}

/** Whether a record is still the same one: after a deletion, another may be made under the same id. */
function isSame(one: AnyRecord, other: AnyRecord | undefined): boolean {
  if (other === undefined) {
    return false;
  }
  return isBinding(one) && isBinding(other)
    ? one.value.username === other.value.username
    : one.value.deployment_id === other.value.deployment_id;
}
