import { StillInProgress } from '../errors.js';
import type { BindingRecord, InstanceRecord, OperationRecord, Stored, Work } from '../model.js';
import type {
  BeforeStep,
  BrokerLog,
  ChangeResult,
  Clusters,
  InstanceBackups,
  OwnSession,
  Records,
} from '../ports.js';
import { ANSWER_WITHIN_MS, HOLD_MS } from '../times.js';
import type { StepOutcome } from './binding-steps.js';
import { DELETED_MEANWHILE, finish, operationOf } from './operations.js';
import type { Tasks } from './tasks.js';

export interface RemovalParts {
  records: Records;
  clusters: Clusters;
  session: OwnSession;
  log: BrokerLog;
  /** Absent where no backups are made. */
  backups?: InstanceBackups | undefined;
}

/** How many bindings of one instance are removed side by side. */
const REMOVALS_AT_ONCE = 8;
const TAKEN_ALONG = 'The service instance was deleted meanwhile, and its bindings with it.';

/** Removes instances with all that belongs to them, and bindings for which no intent can be written. */
export class Removal {
  constructor(
    readonly parts: RemovalParts,
    readonly tasks: Tasks,
  ) {}

  /** Does what an instance that is being deprovisioned demands. Each part can be repeated. */
  async stepInstance(
    stored: Stored<InstanceRecord>,
    before: BeforeStep,
  ): Promise<StepOutcome<InstanceRecord>> {
    const { work, instance_id } = stored.value;
    if (work === undefined) {
      return { current: undefined };
    }
    await this.#empty(stored.value, before);
    before();
    const ended = endOfRemoval(work, instance_id);
    const result = await this.#dropInstance(stored, ended);
    return result.done ? { ended } : { current: result.instance };
  }

  /**
   * Removes a binding without writing an intent first, which etcd refuses when it has no space left, while deleting
   * is what makes room. Each step can be repeated; if this process dies between them, the platform's next DELETE or
   * the operator's check completes it.
   */
  async removeBindingAtOnce(stored: Stored<BindingRecord>): Promise<void> {
    await this.#removeBinding(stored, this.#inTime(), DELETED_MEANWHILE);
  }

  /** The same for an instance: its bindings, its keys, its record. */
  async removeInstanceAtOnce(stored: Stored<InstanceRecord>): Promise<void> {
    const before = this.#inTime();
    let current: Stored<InstanceRecord> | undefined = stored;
    while (current !== undefined) {
      await this.#empty(current.value, before);
      before();
      const { work, instance_id } = current.value;
      const ended = work && endOfRemoval(work, instance_id);
      const result: ChangeResult = await this.#dropInstance(current, ended);
      current = result.done ? undefined : result.instance;
    }
  }

  #dropInstance(expected: Stored<InstanceRecord>, ended: OperationRecord | undefined): Promise<ChangeResult> {
    return this.parts.records.change({
      instance: { id: expected.value.instance_id, expected, next: null },
      ...(ended && { finished: [ended] }),
    });
  }

  /** First nobody can write any more, then the keys go: what is deleted stays deleted. */
  async #empty(instance: InstanceRecord, before: BeforeStep): Promise<void> {
    await this.#removeBindings(instance.instance_id, before);
    if (instance.work?.failure === undefined) {
      before();
      await this.parts.backups?.takeLast(instance);
      before();
    }
    await this.parts.clusters.of(instance).tenantKeys.deleteAll(instance.deployment_id, before);
  }

  async #removeBindings(instanceId: string, before: BeforeStep): Promise<void> {
    const { records, log } = this.parts;
    const removing = new Set<Promise<void>>();
    const failures: unknown[] = [];
    const malformed: string[] = [];
    const bindings = records.bindings(instanceId, (key, reason) => {
      malformed.push(key);
      log.error(
        { key, reason },
        'A binding of a service instance that is deleted is malformed. Its record is deleted; its role and user, whose names are lost with it, are found by "check"',
      );
    });
    try {
      for await (const stored of bindings) {
        // A failure is kept until it is looked for: it may come while nobody waits for this removal.
        const removal = this.#removeBinding(stored, before, TAKEN_ALONG)
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
    for (const key of malformed) {
      before();
      await records.dropMalformed(key);
    }
  }

  /**
   * Removes a binding with no intent of its own, whatever its state and whoever works on it.
   *
   * The access goes first, then the record, so that credentials don't outlive their record. Where a bind may be in the
   * middle of making them it is the other way round: without its record it can't finish, so nobody is ever handed
   * credentials that were half taken away. It finds its record gone and removes what it has made; should it die
   * before, what it has made is of no use to anybody, and the janitor removes it.
   */
  async #removeBinding(first: Stored<BindingRecord>, before: BeforeStep, failure: string): Promise<void> {
    const { instance_id, binding_id } = first.value;
    const { access } = this.parts.clusters.of(first.value);
    const hold = await this.tasks.hold({ instance_id, binding_id }, HOLD_MS);
    try {
      let stored: Stored<BindingRecord> | undefined = first;
      while (stored !== undefined) {
        before();
        const isBeingMade =
          stored.value.state === 'binding' && (!hold.isQuiet || (await this.#isAnothers(stored.value)));
        if (!isBeingMade) {
          await access.revoke(stored.value, before);
          before();
        }
        const result: ChangeResult = await this.#drop(stored, failure);
        if (isBeingMade && result.done) {
          await access.revoke(stored.value, this.tasks.unlessStopping);
        }
        stored = result.done ? undefined : result.binding;
      }
    } finally {
      hold.release();
    }
  }

  /** Whether another replica that lives works on a binding. */
  async #isAnothers({ work }: BindingRecord): Promise<boolean> {
    const { records, session } = this.parts;
    return work !== undefined && work.owner !== session.id && records.sessionLives(work.owner);
  }

  /** @param failure what becomes of a bind that is under way */
  #drop(stored: Stored<BindingRecord>, failure: string): Promise<ChangeResult> {
    const { instance_id, binding_id, work } = stored.value;
    const operation = work && operationOf(work, { instance_id, binding_id });
    const ended =
      operation?.kind === 'unbind'
        ? finish(operation, 'succeeded')
        : operation && finish(operation, 'failed', failure);
    return this.parts.records.change({
      binding: { instance_id, binding_id, expected: stored, next: null },
      ...(ended === undefined ? {} : { finished: [ended] }),
    });
  }

  /**
   * Ends a removal that is the request's own work and not a task: nobody waits for it any more after the answer, and
   * the platform's next DELETE goes on.
   */
  #inTime(): BeforeStep {
    const until = performance.now() + ANSWER_WITHIN_MS;
    return () => {
      this.tasks.unlessStopping();
      if (performance.now() > until) {
        throw new StillInProgress('The removal takes longer. Repeat the request in a minute.');
      }
    };
  }
}

/** A creation that is taken back has failed by that. */
function endOfRemoval(work: Work, instance_id: string): OperationRecord {
  const operation = operationOf(work, { instance_id });
  return work.failure === undefined
    ? finish(operation, 'succeeded')
    : finish(operation, 'failed', work.failure);
}
