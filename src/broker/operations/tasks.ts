import { sleep, withTimeout } from '../../timing.js';
import { Unavailable } from '../errors.js';
import type { BeforeStep } from '../ports.js';
import type { Ended, Resource } from './operations.js';

/** So many tasks run at once in one replica; requests for more are refused. */
export const MOST_RUNNING = 500;
/** So many of them are kept for removals, so that operations which get no further don't keep them out. */
export const KEPT_FOR_REMOVALS = 100;

/** The record changed under a task's hands: it is to be read again. */
export class Superseded extends Error {
  override readonly name = 'Superseded';
}

/** The replica is stopping: the record is left to whoever takes over. */
export class Stopping extends Error {
  override readonly name = 'Stopping';
}

/** What a task does. @returns how its operation ended, undefined when that is left to others */
export type TaskBody = (task: Task) => Promise<Ended | undefined>;

/** A task as its body sees it. */
export interface Task {
  /** Whether the record has changed since the body looked at it last. */
  readonly isSuperseded: boolean;
  /** To be called between two steps. @throws Superseded or Stopping */
  readonly before: BeforeStep;
  /** @throws Stopping */
  readonly unlessStopping: BeforeStep;
  /** To be called before the record is looked at (again). Waits while somebody else holds the record. */
  settle(): Promise<void>;
  /** Waits; no longer than until there is something to do. */
  pause(milliseconds: number): Promise<void>;
}

/** A record that somebody else works on for a while. */
export interface Hold {
  /** Whether no task is in the middle of a step. */
  isQuiet: boolean;
  release(): void;
}

interface Held {
  by: number;
  released: Promise<void>;
  release: () => void;
}

/** Which tasks run in this replica: for each record one at the most. */
export class Tasks {
  readonly #tasks = new Map<string, RunningTask>();
  readonly #held = new Map<string, Held>();
  #stopping = false;

  get running(): number {
    return this.#tasks.size;
  }

  /** @throws Unavailable when there is no room for another operation */
  assertRoom(kind: 'creation' | 'removal'): void {
    this.unlessStopping();
    const most = kind === 'removal' ? MOST_RUNNING : MOST_RUNNING - KEPT_FOR_REMOVALS;
    if (this.#tasks.size >= most) {
      throw new Unavailable('The service broker has too many operations under way. Try again in a minute.');
    }
  }

  /** @throws Unavailable when the replica is stopping */
  readonly unlessStopping: BeforeStep = () => {
    if (this.#stopping) {
      throw new Unavailable('This replica of the service broker is stopping. Try again in a few seconds.');
    }
  };

  /**
   * Starts the task of a record, or tells the running one that the record has changed.
   * @returns a promise that is fulfilled when the task has ended, however it ended; it is never rejected
   */
  start(resource: Resource, body: TaskBody): Promise<Ended | undefined> {
    const name = nameOf(resource);
    const running = this.#tasks.get(name);
    if (running !== undefined) {
      running.supersede();
      return running.done;
    }
    const task = new RunningTask(
      () => this.#stopping,
      () => this.#held.get(name)?.released,
    );
    if (this.#held.has(name)) {
      task.supersede();
    }
    this.#tasks.set(name, task);
    task.done = this.#run(name, task, body);
    return task.done;
  }

  async #run(name: string, task: RunningTask, body: TaskBody): Promise<Ended | undefined> {
    try {
      for (;;) {
        const ended = await body(task);
        // The record may have changed again just when the body had seen it whole.
        if (!task.isSuperseded || this.#stopping) {
          return ended;
        }
      }
    } catch (error) {
      if (error instanceof Stopping) {
        return undefined;
      }
      throw error;
    } finally {
      this.#tasks.delete(name);
      task.park();
    }
  }

  /** The end of the task that runs for a record, undefined when none does. */
  endOf(resource: Resource): Promise<Ended | undefined> | undefined {
    return this.#tasks.get(nameOf(resource))?.done;
  }

  /**
   * Keeps a record's task from acting until the hold is released: a running one goes no further than the step that it
   * is in. That step is waited for, but not longer than so many milliseconds.
   */
  async hold(resource: Resource, milliseconds: number): Promise<Hold> {
    const name = nameOf(resource);
    const held = this.#held.get(name) ?? newHeld();
    held.by += 1;
    this.#held.set(name, held);
    let isReleased = false;
    const release = () => {
      if (!isReleased) {
        isReleased = true;
        held.by -= 1;
        if (held.by === 0) {
          this.#held.delete(name);
          held.release();
        }
      }
    };
    const running = this.#tasks.get(name);
    if (running === undefined) {
      return { isQuiet: true, release };
    }
    running.supersede();
    const isQuiet = (await withTimeout(running.parked, milliseconds)) === true;
    return { isQuiet, release };
  }

  /**
   * Waits for what runs, at most so many milliseconds; what is left then stops at its next step and is taken over
   * by another replica or the next start.
   */
  async drain(milliseconds: number): Promise<void> {
    const all = () => Promise.all([...this.#tasks.values()].map(({ done }) => done));
    await withTimeout(all(), milliseconds);
    this.#stopping = true;
    for (const task of this.#tasks.values()) {
      task.wake();
    }
    // From here a task ends with the call to etcd that it waits for; each call has a deadline.
    await all();
  }
}

class RunningTask implements Task {
  done: Promise<Ended | undefined> = Promise.resolve(undefined);
  isSuperseded = false;
  /** Fulfilled when the body is in no step and goes no further before the hold is released. */
  parked: Promise<true>;
  park: () => void = () => undefined;
  #waking = new AbortController();

  constructor(
    readonly isStopping: () => boolean,
    readonly released: () => Promise<void> | undefined,
  ) {
    this.parked = this.#unparked();
  }

  readonly unlessStopping: BeforeStep = () => {
    if (this.isStopping()) {
      throw new Stopping();
    }
  };

  readonly before: BeforeStep = () => {
    this.unlessStopping();
    if (this.isSuperseded) {
      throw new Superseded();
    }
  };

  async settle(): Promise<void> {
    for (let released = this.released(); released !== undefined; released = this.released()) {
      this.park();
      await released;
      this.parked = this.#unparked();
    }
    this.isSuperseded = false;
    this.#waking = new AbortController();
    this.unlessStopping();
  }

  pause(milliseconds: number): Promise<void> {
    return sleep(milliseconds, this.#waking.signal);
  }

  supersede(): void {
    this.isSuperseded = true;
    this.wake();
  }

  wake(): void {
    this.#waking.abort();
  }

  #unparked(): Promise<true> {
    return new Promise((resolve) => {
      this.park = () => resolve(true);
    });
  }
}

function newHeld(): Held {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { by: 0, released, release };
}

function nameOf({ instance_id, binding_id }: Resource): string {
  return JSON.stringify([instance_id, binding_id]);
}
