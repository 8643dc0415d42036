import { type EtcdClient, within } from '../etcd/client.js';

const LOOK_MS = 1_000;
const TIMEOUT_MS = 3_000;
/** While an alarm lasts it is said again after so many milliseconds. */
const REPEAT_MS = 30_000;

export interface AlarmLog {
  error(details: object, message: string): void;
  warn(details: object, message: string): void;
  info(details: object, message: string): void;
}

/** Bindings made while an alarm lasts would not be safe. */
const MEANING: { readonly [name: string]: string } = {
  NOSPACE:
    'etcd has no space left and, for as long as that lasts, DOES NOT ENFORCE PERMISSIONS: any client can read and delete every key. No bindings are made. Delete what is not needed, compact, defragment, then disarm the alarm.',
  CORRUPT:
    'A member of etcd found its data corrupt. No bindings are made. Replace that member, then disarm the alarm.',
};

/** Looks at etcd's alarms all the time, says loudly when one is raised and when it is gone. */
export class AlarmWatch {
  #raised: readonly string[] = [];
  #saidAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;

  constructor(
    readonly connection: EtcdClient,
    readonly log: AlarmLog,
    readonly onChange: (raised: readonly string[]) => void,
  ) {}

  /** The names of the alarms that are raised, as of the last look. */
  get raised(): readonly string[] {
    return this.#raised;
  }

  async start(): Promise<void> {
    await this.#look();
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined;
      });
    }, LOOK_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    try {
      const { alarms } = await this.connection.maintenance.alarm({}, within(TIMEOUT_MS));
      const names = [...new Set(alarms.map(({ alarm }) => String(alarm).toUpperCase()))];
      this.#say(names);
      this.#raised = names;
      this.onChange(names);
    } catch (error) {
      // What is not known stays as it was; /ready tells that etcd does not answer.
      this.log.warn({ reason: (error as Error).message }, "etcd's alarms could not be looked at");
    }
  }

  #say(names: readonly string[]): void {
    for (const gone of this.#raised.filter((name) => !names.includes(name))) {
      this.log.info({ alarm: gone }, 'The alarm of etcd is gone; bindings are made again');
    }
    const isNew = names.some((name) => !this.#raised.includes(name));
    if (names.length > 0 && (isNew || performance.now() - this.#saidAt > REPEAT_MS)) {
      this.#saidAt = performance.now();
      for (const alarm of names) {
        this.log.error({ alarm }, MEANING[alarm] ?? 'etcd has raised an alarm. No bindings are made.');
      }
    }
  }
}
