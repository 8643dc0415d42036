import type { BrokerParts } from '../parts.js';
import type { AccessControl } from '../ports.js';

const TICK_MS = 1_000;

/**
 * Ends the credentials of bindings whose time is up. The record stays, marked as expired, until the platform unbinds
 * it; the keys stay too.
 *
 * The index of what is due is the intent, and each step can be repeated, so it does not matter which replica does it
 * or where one dies.
 */
export class Expirer {
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;

  constructor(
    readonly parts: BrokerParts,
    readonly access: AccessControl,
  ) {}

  start(): void {
    this.#timer = setInterval(() => {
      this.#working ??= this.#tick().finally(() => {
        this.#working = undefined;
      });
    }, TICK_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#working;
  }

  async #tick(): Promise<void> {
    const { records, clock, log } = this.parts;
    try {
      if (!(await records.hasExpiring())) {
        return;
      }
      const now = await clock.tick();
      const due = now === undefined ? [] : await records.dueBindings(now);
      await Promise.all(due.map(({ instance_id, binding_id }) => this.#expire(instance_id, binding_id)));
    } catch (error) {
      log.warn(
        { reason: (error as Error).message },
        'Looking for expired bindings failed; it is tried again',
      );
    }
  }

  async #expire(instanceId: string, bindingId: string): Promise<void> {
    const { records, log } = this.parts;
    const stored = await records.readBinding(instanceId, bindingId);
    // A binding that is still being made, or is being removed, is its owner's.
    if (stored?.value.state !== 'ready' || stored.value.expired) {
      return;
    }
    await this.access.revoke(stored.value, () => undefined);
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
