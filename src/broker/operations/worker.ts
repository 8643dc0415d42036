import { Unavailable } from '../errors.js';
import type { BindingRecord, InstanceRecord, OperationState, Stored } from '../model.js';
import type {
  AccessControl,
  BeforeStep,
  BrokerLog,
  OwnSession,
  Records,
  Seals,
  TenantKeys,
} from '../ports.js';
import { stepBinding } from './binding-steps.js';
import type { Resource } from './operations.js';
import { Removal } from './removal.js';

export interface WorkerParts {
  records: Records;
  access: AccessControl;
  tenantKeys: TenantKeys;
  seals: Seals;
  session: OwnSession;
  log: BrokerLog;
}

/** So many operations run at once in one replica; requests for more are refused. */
export const MOST_RUNNING = 500;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;

/** The record changed under a task's hands: read it again and go on from there. */
class Superseded extends Error {
  override readonly name = 'Superseded';
}

/** The replica is stopping: leave the record to whoever takes over. */
class Stopping extends Error {
  override readonly name = 'Stopping';
}

/** How an operation ended. */
export interface Ended {
  operation_id: string;
  state: OperationState;
  description: string;
}

interface Task {
  /** The end of the last operation that the task brought to one, undefined if it left that to others. */
  done: Promise<Ended | undefined>;
  ended?: Ended;
  superseded: boolean;
}

/**
 * Carries out what the records say is under way, step by step, until each record is whole or gone.
 *
 * A task looks only at the record: what state is it in, what does that state demand? So a task can be stopped
 * anywhere, by a crash too, and started again by any replica, and a record that another request has turned round
 * (an unbind during a bind) is simply carried on in the other direction. For each record there is one owner at a
 * time, and in the owner one task.
 */
export class Worker {
  readonly #tasks = new Map<string, Task>();
  readonly #removal: Removal;
  #stopping = false;

  constructor(readonly parts: WorkerParts) {
    this.#removal = new Removal(parts, this);
  }

  get running(): number {
    return this.#tasks.size;
  }

  /** @throws Unavailable when there is no room for another operation */
  assertRoom(): void {
    this.#unlessStopping();
    if (this.#tasks.size >= MOST_RUNNING) {
      throw new Unavailable('The service broker has too many operations under way. Try again in a minute.');
    }
  }

  /**
   * Starts the task of a record that this replica owns, or tells the running one that the record has changed.
   * @param known the record as it was just written, to save a read
   * @returns a promise that is fulfilled when the task has ended, however it ended; it is never rejected
   */
  drive(
    resource: Resource,
    known?: Stored<InstanceRecord> | Stored<BindingRecord>,
  ): Promise<Ended | undefined> {
    const name = nameOf(resource);
    const running = this.#tasks.get(name);
    if (running !== undefined) {
      running.superseded = true;
      return running.done;
    }
    const task: Task = { done: Promise.resolve(undefined), superseded: false };
    this.#tasks.set(name, task);
    task.done = this.#run(resource, known, task).then(() => {
      this.#tasks.delete(name);
      // The record may have changed again just when the task had seen it whole.
      return task.superseded && !this.#stopping ? this.drive(resource) : task.ended;
    });
    return task.done;
  }

  /**
   * Why an intent was refused although nothing has changed: it needs this replica's session, which is gone.
   * @throws Unavailable if that is so
   */
  assertChanged(expected: Stored<unknown> | undefined, found: Stored<unknown> | undefined): void {
    if (expected?.revision === found?.revision) {
      throw new Unavailable('The service broker has lost its session with etcd. Try again in a few seconds.');
    }
  }

  /** The end of the task that runs for a record here, undefined when none does. */
  runningTask(resource: Resource): Promise<Ended | undefined> | undefined {
    return this.#tasks.get(nameOf(resource))?.done;
  }

  /** See {@link Removal.removeBindingAtOnce}. */
  removeBindingAtOnce(stored: Stored<BindingRecord>): Promise<void> {
    return this.#removal.removeBindingAtOnce(stored, this.#unlessStopping);
  }

  /** See {@link Removal.removeInstanceAtOnce}. */
  removeInstanceAtOnce(stored: Stored<InstanceRecord>): Promise<void> {
    return this.#removal.removeInstanceAtOnce(stored, this.#unlessStopping);
  }

  /**
   * Waits for what runs, at most so many milliseconds; what is left then stops at its next step and is taken over
   * by another replica or the next start.
   */
  async drain(milliseconds: number): Promise<void> {
    const all = () => Promise.all([...this.#tasks.values()].map(({ done }) => done));
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, milliseconds);
    });
    await Promise.race([all(), patience]);
    clearTimeout(timer);
    this.#stopping = true;
    // From here a task ends with the call to etcd that it waits for; each call has a deadline.
    await all();
  }

  readonly #unlessStopping: BeforeStep = () => {
    if (this.#stopping) {
      throw new Unavailable('This replica of the service broker is stopping. Try again in a few seconds.');
    }
  };

  async #run(
    resource: Resource,
    known: Stored<InstanceRecord> | Stored<BindingRecord> | undefined,
    task: Task,
  ): Promise<void> {
    const { log, session } = this.parts;
    let current = known;
    let pause = FIRST_PAUSE_MS;
    for (;;) {
      const before: BeforeStep = () => {
        if (this.#stopping) {
          throw new Stopping();
        }
        if (task.superseded) {
          throw new Superseded();
        }
      };
      try {
        if (current === undefined || task.superseded) {
          task.superseded = false;
          current = await this.#read(resource);
        }
        const work = current?.value.work;
        if (current === undefined || work === undefined || work.owner !== session.id) {
          return;
        }
        const ownsIt = () => {
          before();
          session.assertOwns(work.owner);
        };
        const outcome =
          'binding_id' in current.value
            ? await stepBinding(this.parts, current as Stored<BindingRecord>, ownsIt)
            : await this.#removal.stepInstance(current as Stored<InstanceRecord>, ownsIt);
        if ('ended' in outcome) {
          const { id, state, description } = outcome.ended;
          task.ended = { operation_id: id, state, description };
          return;
        }
        current = outcome.current;
        if (current === undefined) {
          return;
        }
        pause = FIRST_PAUSE_MS;
      } catch (error) {
        if (error instanceof Stopping) {
          return;
        }
        current = undefined;
        if (error instanceof Superseded) {
          continue;
        }
        log.warn(
          { ...resource, reason: (error as Error).message },
          'A step of an operation failed; it is tried again',
        );
        await sleep(pause);
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
        if (this.#stopping) {
          return;
        }
      }
    }
  }

  #read(resource: Resource): Promise<Stored<InstanceRecord> | Stored<BindingRecord> | undefined> {
    const { records } = this.parts;
    return resource.binding_id === undefined
      ? records.readInstance(resource.instance_id)
      : records.readBinding(resource.instance_id, resource.binding_id);
  }

  /**
   * Does something with a record while its own task can not start here: a bind whose intent is written, but whose
   * answer is still on its way, would make what is just being removed.
   */
  async alone<T>(resource: Resource, work: () => Promise<T>): Promise<T> {
    const name = nameOf(resource);
    const task: Task = { done: Promise.resolve(undefined), superseded: false };
    this.#tasks.set(name, task);
    const result = work();
    task.done = result
      .catch(() => undefined)
      .then(() => {
        this.#tasks.delete(name);
        return task.superseded && !this.#stopping ? this.drive(resource) : undefined;
      });
    return result;
  }
}

function nameOf({ instance_id, binding_id }: Resource): string {
  return JSON.stringify([instance_id, binding_id]);
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
