import { Periodic } from '../../periodic.js';
import type { BrokerParts } from '../parts.js';

const LOOK_MS = 1_000;

/**
 * Ends the credentials of bindings whose time is up. The record stays, marked as expired, until the platform unbinds
 * it; the keys stay too.
 *
 * The index of what is due is the intent, and each step can be repeated, so it does not matter which replica does it
 * or where one dies. Each replica reads the index once a second, so a binding that is due soon is noticed at once;
 * the clock decides how seldom it is written.
 */
export class Expirer {
  readonly #periodic: Periodic;

  constructor(readonly parts: Pick<BrokerParts, 'records' | 'clock' | 'clusters' | 'log'>) {
    this.#periodic = new Periodic({
      what: 'Looking for expired bindings',
      intervalMs: LOOK_MS,
      longestPauseMs: LOOK_MS,
      run: () => this.look(),
      log: parts.log,
    });
  }

  start(): void {
    this.#periodic.start();
  }

  /** Also writes down how late it is, since the next start may find nothing else to tell the time by. */
  async stop(): Promise<void> {
    await this.#periodic.stop();
    await this.parts.clock.save();
  }

  /** Looks once. */
  async look(): Promise<void> {
    const { records, clock } = this.parts;
    const nextDue = await records.nextDue();
    if (nextDue === undefined) {
      return;
    }
    const now = await clock.tick(nextDue);
    if (now === undefined || now < nextDue) {
      return;
    }
    const due = await records.dueBindings(now);
    const ended = await Promise.allSettled(
      due.map(({ instance_id, binding_id }) => this.#expire(instance_id, binding_id)),
    );
    for (const result of ended) {
      if (result.status === 'rejected') {
        throw result.reason;
      }
    }
  }

  async #expire(instanceId: string, bindingId: string): Promise<void> {
    const { records, clusters, log } = this.parts;
    const stored = await records.readBinding(instanceId, bindingId);
    // A binding that is still being made, or is being removed, is its session's.
    if (stored?.value.state !== 'ready' || stored.value.expired) {
      return;
    }
    await clusters.of(stored.value).access.revoke(stored.value, () => undefined);
    const result = await records.change({
      binding: {
        instance_id: instanceId,
        binding_id: bindingId,
        expected: stored,
        next: { ...stored.value, expired: true },
      },
    });
    if (result.done) {
      log.info({ instance: instanceId, binding: bindingId }, 'The credentials of a binding have expired');
    }
  }
}
