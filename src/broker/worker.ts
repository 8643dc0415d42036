import type { Secret } from '../credentials/secret.js';
import { Unavailable } from './errors.js';
import type { BindingRecord, InstanceRecord, OperationRecord, OperationState, Stored } from './model.js';
import { finish, operationOf, type Resource } from './operations.js';
import type {
  AccessControl,
  BeforeStep,
  BrokerLog,
  OwnSession,
  Records,
  Seals,
  TenantKeys,
} from './ports.js';

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
/** How many bindings of one instance are removed side by side. */
const REMOVALS_AT_ONCE = 8;

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
  #stopping = false;

  constructor(readonly parts: WorkerParts) {}

  get running(): number {
    return this.#tasks.size;
  }

  /** @throws Unavailable when there is no room for another operation */
  assertRoom(): void {
    if (this.#stopping) {
      throw new Unavailable('This replica of the service broker is stopping. Try again in a few seconds.');
    }
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

  /** The end of the task that runs for a record here, undefined when none does. */
  runningTask(resource: Resource): Promise<Ended | undefined> | undefined {
    return this.#tasks.get(nameOf(resource))?.done;
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
        if ('binding_id' in current.value) {
          current = await this.#stepBinding(current as Stored<BindingRecord>, ownsIt, task);
        } else {
          current = await this.#deprovision(current as Stored<InstanceRecord>, ownsIt, task);
        }
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

  /** @returns the record as it is now, undefined when it is gone */
  async #stepBinding(
    stored: Stored<BindingRecord>,
    before: BeforeStep,
    task: Task,
  ): Promise<Stored<BindingRecord> | undefined> {
    const { access, records, seals } = this.parts;
    const { work, ...rest } = stored.value;
    if (work === undefined) {
      return undefined;
    }
    const operation = operationOf(work, rest);
    const place = { instance_id: rest.instance_id, binding_id: rest.binding_id, expected: stored };
    if (rest.state === 'binding') {
      let password: Secret;
      try {
        password = seals.open(rest.sealed_password, rest.username);
      } catch (error) {
        // The credentials were never handed out, so the bind is taken back rather than left hanging.
        return this.#turnBack(stored, (error as Error).message);
      }
      await access.grant(rest, password, before);
      before();
      const next: BindingRecord = { ...rest, state: 'ready' };
      const ended = finish(operation, 'succeeded');
      const result = await records.change({ binding: { ...place, next }, finished: [ended] });
      return result.done ? this.#end(task, ended) : result.binding;
    }
    await access.revoke(rest, before);
    before();
    const ended = finish(operation, work.failure === undefined ? 'succeeded' : 'failed', work.failure);
    const result = await records.change({ binding: { ...place, next: null }, finished: [ended] });
    return result.done ? this.#end(task, ended) : result.binding;
  }

  #end(task: Task, { id, state, description }: OperationRecord): undefined {
    task.ended = { operation_id: id, state, description };
  }

  /** Turns a bind that can not be finished into its own removal. */
  async #turnBack(
    stored: Stored<BindingRecord>,
    failure: string,
  ): Promise<Stored<BindingRecord> | undefined> {
    const { work, ...rest } = stored.value;
    if (work === undefined) {
      return undefined;
    }
    const next: BindingRecord = { ...rest, state: 'unbinding', work: { ...work, failure } };
    const { instance_id, binding_id } = rest;
    const result = await this.parts.records.change({
      binding: { instance_id, binding_id, expected: stored, next },
    });
    return result.done ? { value: next, revision: result.revision } : result.binding;
  }

  async #deprovision(
    stored: Stored<InstanceRecord>,
    before: BeforeStep,
    task: Task,
  ): Promise<Stored<InstanceRecord> | undefined> {
    const { records, tenantKeys } = this.parts;
    const { work, instance_id, deployment_id } = stored.value;
    if (work === undefined) {
      return undefined;
    }
    // First nobody can write any more, then the keys go: what is deleted stays deleted.
    await this.#removeBindings(instance_id, before);
    await tenantKeys.deleteAll(deployment_id, before);
    before();
    const ended = finish(operationOf(work, { instance_id }), 'succeeded');
    const result = await records.change({
      instance: { id: instance_id, expected: stored, next: null },
      finished: [ended],
    });
    return result.done ? this.#end(task, ended) : result.instance;
  }

  async #removeBindings(instanceId: string, before: BeforeStep): Promise<void> {
    const removing = new Set<Promise<void>>();
    for await (const stored of this.parts.records.bindings(instanceId)) {
      const removal = this.#removeBinding(stored, before).finally(() => removing.delete(removal));
      removing.add(removal);
      if (removing.size >= REMOVALS_AT_ONCE) {
        await Promise.race(removing);
      }
    }
    await Promise.all(removing);
  }

  /** Removes a binding on behalf of its instance, whose record is the intent: the binding's needs none of its own. */
  async #removeBinding(first: Stored<BindingRecord>, before: BeforeStep): Promise<void> {
    const { access, records, session } = this.parts;
    let stored: Stored<BindingRecord> | undefined = first;
    while (stored !== undefined) {
      before();
      const { instance_id, binding_id, work } = stored.value;
      const task = this.#tasks.get(nameOf({ instance_id, binding_id }));
      if (task !== undefined) {
        await task.done;
        stored = await records.readBinding(instance_id, binding_id);
      } else if (
        work !== undefined &&
        work.owner !== session.id &&
        (await records.sessionLives(work.owner))
      ) {
        // Another replica is about to finish it; when that one dies, its session does too.
        await sleep(FIRST_PAUSE_MS);
        stored = await records.readBinding(instance_id, binding_id);
      } else {
        await access.revoke(stored.value, before);
        before();
        const ended = work && finish(operationOf(work, { instance_id, binding_id }), 'failed', TAKEN_ALONG);
        const result = await records.change({
          binding: { instance_id, binding_id, expected: stored, next: null },
          ...(ended === undefined ? {} : { finished: [ended] }),
        });
        stored = result.done ? undefined : result.binding;
      }
    }
  }
}

const TAKEN_ALONG = 'The service instance was deleted meanwhile, and its bindings with it.';

function nameOf({ instance_id, binding_id }: Resource): string {
  return JSON.stringify([instance_id, binding_id]);
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
