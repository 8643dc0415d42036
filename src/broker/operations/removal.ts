import { StillInProgress } from '../errors.js';
import type { BindingRecord, InstanceRecord, Stored } from '../model.js';
import type { AccessControl, BeforeStep, ChangeResult, OwnSession, Records, TenantKeys } from '../ports.js';
import { ANSWER_WITHIN_MS } from '../requests/patience.js';
import type { StepOutcome } from './binding-steps.js';
import { finish, operationOf, type Resource } from './operations.js';

export interface RemovalParts {
  records: Records;
  access: AccessControl;
  tenantKeys: TenantKeys;
  session: OwnSession;
}

/** The tasks that run in this replica, as far as a removal has to mind them. */
export interface RunningTasks {
  runningTask(resource: Resource): Promise<unknown> | undefined;
  /** Does something with a record while its own task can not start here. */
  alone<T>(resource: Resource, work: () => Promise<T>): Promise<T>;
}

/** How many bindings of one instance are removed side by side. */
const REMOVALS_AT_ONCE = 8;
const PAUSE_MS = 50;
const TAKEN_ALONG = 'The service instance was deleted meanwhile, and its bindings with it.';

/** Removes instances with all that belongs to them. */
export class Removal {
  constructor(
    readonly parts: RemovalParts,
    readonly tasks: RunningTasks,
  ) {}

  /** Does what an instance that is being deprovisioned demands. Each part can be repeated. */
  async stepInstance(
    stored: Stored<InstanceRecord>,
    before: BeforeStep,
  ): Promise<StepOutcome<InstanceRecord>> {
    const { records, tenantKeys } = this.parts;
    const { work, instance_id, deployment_id } = stored.value;
    if (work === undefined) {
      return { current: undefined };
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
    return result.done ? { ended } : { current: result.instance };
  }

  /**
   * Removes a binding without writing an intent first, which etcd refuses when it has no space left, while deleting
   * is what makes room. Each step can be repeated; if this process dies between them, the platform's next DELETE or
   * the operator's check completes it.
   */
  async removeBindingAtOnce(stored: Stored<BindingRecord>, before: BeforeStep): Promise<void> {
    await this.#removeBinding(stored, inTime(before));
  }

  /** The same for an instance: its bindings, its keys, its record. */
  async removeInstanceAtOnce(stored: Stored<InstanceRecord>, unlessStopping: BeforeStep): Promise<void> {
    const { records, tenantKeys } = this.parts;
    const { instance_id, deployment_id } = stored.value;
    const before = inTime(unlessStopping);
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
      const task = this.tasks.runningTask(resource);
      if (task !== undefined) {
        await task;
      } else if (isOthers) {
        // Another replica is about to finish it; when that one dies, its session does too.
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      } else {
        const current: Stored<BindingRecord> = stored;
        const result = await this.tasks.alone(resource, () => this.#takeAlong(current, before));
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

/**
 * Ends a removal that is the request's own work and not a task: nobody waits for it any more after the answer, and the
 * platform's next DELETE goes on.
 */
function inTime(before: BeforeStep): BeforeStep {
  const until = performance.now() + ANSWER_WITHIN_MS;
  return () => {
    before();
    if (performance.now() > until) {
      throw new StillInProgress('The removal takes longer. Repeat the request in a minute.');
    }
  };
}
