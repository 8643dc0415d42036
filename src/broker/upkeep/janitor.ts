import { Periodic } from '../../periodic.js';
import type { BackingCluster, BrokerLog, Records } from '../ports.js';
import { decideSweep } from './sweep-decision.js';

const LOOK_MS = 3_000;
const REGULARLY_MS = 600_000;
/** While names are left alone that is logged again after so many milliseconds. */
const REPEAT_MS = 300_000;
/** For so long after a lost answer a call may still arrive late, in milliseconds. */
const LATE_MS = 20_000;

export interface JanitorParts {
  records: Pick<Records, 'recordedNames'>;
  /** The one that it looks after. */
  cluster: Pick<BackingCluster, 'id'> & { access: Pick<BackingCluster['access'], 'names' | 'revoke'> };
  log: BrokerLog;
}

/**
 * Removes roles and users of a cluster that no record of it names.
 *
 * Names are recorded before they are made and never used twice, so what is not recorded is waste: left by a call that
 * reached etcd late, after its operation was over (a member that hung, a network that held it back). Many at once are
 * not waste but a sign that records are lost; `decideSweep` leaves them alone.
 */
export class Janitor {
  readonly #periodic: Periodic;
  #sweptAt = performance.now();
  #suspectUntil = 0;
  /** A sweep that was due and has not succeeded yet. */
  #isOwed = false;
  #held = 0;
  #toldAt = 0;

  /** @param onHeld is told how many names are left alone, after each sweep */
  constructor(
    readonly parts: JanitorParts,
    readonly onHeld: (count: number) => void = () => undefined,
  ) {
    this.#periodic = new Periodic({
      what: 'The sweep for roles and users without a record',
      intervalMs: LOOK_MS,
      run: () => this.#sweepIfDue(),
      log: parts.log,
    });
  }

  start(): void {
    this.#periodic.start();
  }

  stop(): Promise<void> {
    return this.#periodic.stop();
  }

  /**
   * To be called when the answer to a call that may leave a role or a user behind was lost. The sweeps that follow
   * may lose answers too; while they fail, the pauses between them grow.
   */
  suspect(): void {
    this.#suspectUntil = performance.now() + LATE_MS;
  }

  /**
   * Sweeps once.
   * @returns the names that were removed
   * @throws Error when the records could not be read whole; nothing is removed then
   */
  async sweep(): Promise<string[]> {
    const { records, cluster, log } = this.parts;
    // What exists is listed first: what is recorded afterwards was recorded when it was made, or is over.
    const existing = await cluster.access.names();
    const { remove, held } = decideSweep(existing, await records.recordedNames(cluster.id));
    this.#tell(held.length);
    for (const name of remove) {
      await cluster.access.revoke({ role: name, username: name }, () => undefined);
    }
    if (remove.length > 0) {
      log.info({ count: remove.length }, 'Roles or users that no record names were removed');
    }
    this.#sweptAt = performance.now();
    return remove;
  }

  async #sweepIfDue(): Promise<void> {
    const now = performance.now();
    if (!this.#isOwed && now >= this.#suspectUntil && now - this.#sweptAt <= REGULARLY_MS) {
      return;
    }
    this.#isOwed = true;
    await this.sweep();
    this.#isOwed = false;
  }

  #tell(held: number): void {
    const now = performance.now();
    if (held > 0 && (held !== this.#held || now - this.#toldAt > REPEAT_MS)) {
      this.#toldAt = now;
      this.parts.log.error(
        { count: held },
        'Roles and users exist that no record names, so many that records may have been lost. They are left alone. Look at them with "compose-etcd-broker check"; restore the records, or remove them with "check --repair".',
      );
    }
    this.#held = held;
    this.onHeld(held);
  }
}
