import type { Secret } from '../credentials/secret.js';
import { StillInProgress, Unavailable } from './errors.js';
import type { BindingRecord, InstanceRecord, OperationRecord, OperationState, Stored } from './model.js';
import { finish, operationOf, type Resource } from './operations.js';
import { ANSWER_WITHIN_MS } from './patience.js';
import type {
  AccessControl,
  BeforeStep,
  BrokerLog,
  ChangeResult,
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

  /**
   * Removes a binding without writing an intent first, which etcd refuses when it has no space left, while deleting
   * is what makes room. Each step can be repeated; if this process dies between them, the platform's next DELETE or
   * the operator's check completes it.
   */
  async removeBindingAtOnce(stored: Stored<BindingRecord>): Promise<void> {
    await this.#removeBinding(stored, this.#inTime());
  }

  /** The same for an instance: its bindings, its keys, its record. */
  async removeInstanceAtOnce(stored: Stored<InstanceRecord>): Promise<void> {
    const { records, tenantKeys } = this.parts;
    const { instance_id, deployment_id } = stored.value;
    const before = this.#inTime();
    let current: Stored<InstanceRecord> | undefined = stored;
    while (current !== undefined) {
      await this.#removeBindings(instance_id, before);
      await tenantKeys.deleteAll(deployment_id, before);
      const result: ChangeResult = await records.change({
        instance: { id: instance_id, expected: current, next: null },
      });
      current = result.done ? undefined : result.instance;
    }
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

  /**
   * Ends a removal that is the request's own work and not a task: nobody waits for it any more after the answer, and
   * the platform's next DELETE goes on.
   */
  #inTime(): BeforeStep {
    const until = performance.now() + ANSWER_WITHIN_MS;
    return () => {
      this.#unlessStopping();
      if (performance.now() > until) {
        throw new StillInProgress('The removal takes longer. Repeat the request in a minute.');
      }
    };
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
    const failures: unknown[] = [];
    try {
      for await (const stored of this.parts.records.bindings(instanceId)) {
        // A failure is kept until it is looked for: it may come while nobody waits for this removal.
        const removal = this.#removeBinding(stored, before)
          .catch((error: unknown) => {
            failures.push(error);
          })
          .finally(() => removing.delete(removal));
        removing.add(removal);
        if (removing.size >= REMOVALS_AT_ONCE) {
          await Promise.race(removing);
        }
        if (failures.length > 0) {
          break;
        }
      }
    } finally {
      await Promise.all(removing);
    }
    if (failures.length > 0) {
      throw failures[0];
    }
  }

  /** Removes a binding on behalf of its instance, whose record is the intent: the binding's needs none of its own. */
  async #removeBinding(first: Stored<BindingRecord>, before: BeforeStep): Promise<void> {
    const { records } = this.parts;
    const { instance_id, binding_id } = first.value;
    const resource = { instance_id, binding_id };
    let stored: Stored<BindingRecord> | undefined = first;
    while (stored !== undefined) {
      before();
      const isOthers = await this.#isAnothers(stored.value);
      const task = this.#tasks.get(nameOf(resource));
      if (task !== undefined) {
        await task.done;
      } else if (isOthers) {
        // Another replica is about to finish it; when that one dies, its session does too.
        await sleep(FIRST_PAUSE_MS);
      } else {
        const current: Stored<BindingRecord> = stored;
        const result = await this.#alone(resource, () => this.#takeAlong(current, before));
        stored = result.done ? undefined : result.binding;
        continue;
      }
      stored = await records.readBinding(instance_id, binding_id);
    }
  }

  /** Whether another replica that lives works on a binding. */
  async #isAnothers({ work }: BindingRecord): Promise<boolean> {
    const { records, session } = this.parts;
    return work !== undefined && work.owner !== session.id && records.sessionLives(work.owner);
  }

  /**
   * Does something with a record while its own task can not start here: a bind whose intent is written, but whose
   * answer is still on its way, would make what is just being removed.
   */
  async #alone<T>(resource: Resource, work: () => Promise<T>): Promise<T> {
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

  async #takeAlong(stored: Stored<BindingRecord>, before: BeforeStep): Promise<ChangeResult> {
    const { access, records } = this.parts;
    const { instance_id, binding_id, work } = stored.value;
    await access.revoke(stored.value, before);
    before();
    const operation = work && operationOf(work, { instance_id, binding_id });
    const ended =
      operation?.kind === 'unbind'
        ? finish(operation, 'succeeded')
        : operation && finish(operation, 'failed', TAKEN_ALONG);
    return records.change({
      binding: { instance_id, binding_id, expected: stored, next: null },
      ...(ended === undefined ? {} : { finished: [ended] }),
    });
  }
}

const TAKEN_ALONG = 'The service instance was deleted meanwhile, and its bindings with it.';

function nameOf({ instance_id, binding_id }: Resource): string {
  return JSON.stringify([instance_id, binding_id]);
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
