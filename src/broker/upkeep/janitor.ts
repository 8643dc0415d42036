import type { AccessControl, BrokerLog, Records } from '../ports.js';

const LOOK_MS = 3_000;
const REGULARLY_MS = 600_000;
/** For so long after a lost answer a call may still arrive late. */
const LATE_MS = 20_000;

/**
 * Removes roles and users that no record names.
 *
 * Names are recorded before they are made and never used twice, so what is not recorded is waste: left by a call that
 * reached etcd late, after its operation was over (a member that hung, a network that held it back).
 */
export class Janitor {
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> | undefined;
  #sweptAt = performance.now();
  #suspectUntil = 0;

  constructor(readonly parts: { records: Records; access: AccessControl; log: BrokerLog }) {}

  start(): void {
    this.#timer = setInterval(() => {
      const now = performance.now();
      if (now < this.#suspectUntil || now - this.#sweptAt > REGULARLY_MS) {
        this.#sweeping ??= this.#sweepQuietly().finally(() => {
          this.#sweeping = undefined;
        });
      }
    }, LOOK_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sweeping;
  }

  /** To be called when the answer to a change of roles or users was lost. */
  suspect(): void {
    this.#suspectUntil = performance.now() + LATE_MS;
  }

  /**
   * Sweeps once.
   * @returns the names that were removed
   */
  async sweep(): Promise<string[]> {
    const { records, access, log } = this.parts;
    // What exists is listed first: what is recorded afterwards was recorded when it was made, or is over.
    const existing = await access.names();
    const recorded = await records.recordedNames();
    const waste = [...existing].filter((name) => !recorded.has(name));
    for (const name of waste) {
      await access.revoke({ role: name, username: name }, () => undefined);
    }
    if (waste.length > 0) {
      log.info({ count: waste.length }, 'Roles or users that no record names were removed');
    }
    this.#sweptAt = performance.now();
    return waste;
  }

  async #sweepQuietly(): Promise<void> {
    try {
      await this.sweep();
    } catch (error) {
      this.parts.log.warn(
        { reason: (error as Error).message },
        'A sweep for stray roles failed; it is repeated',
      );
    }
  }
}
