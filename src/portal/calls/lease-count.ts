import type { BindingGauges } from '../limits/gauges.js';
import type { LimitRefusal } from '../limits/refusals.js';

/**
 * How many leases a binding has, as far as this portal has granted and kept them alive. etcd does not tell when one
 * ends, so each counts until its time to live has passed since it was heard of last.
 */
export class LeaseCount {
  /** Lease to when it ends, in milliseconds on the caller's clock. */
  readonly #leases = new Map<number, number>();
  /** Grants on their way. */
  #pending = 0;

  constructor(readonly gauges: BindingGauges) {}

  /** Before a lease is granted. What it admits ends with `granted` or `refused`. */
  admit(now: number): LimitRefusal | undefined {
    let refused = this.gauges.acquire('leases');
    if (refused !== undefined && this.#forgetEnded(now) > 0) {
      refused = this.gauges.acquire('leases');
    }
    if (refused === undefined) {
      this.#pending += 1;
    }
    return refused;
  }

  /** @param ttlSeconds as etcd answered; where nobody knows the answer, as it was asked for */
  granted(lease: number, ttlSeconds: number, now: number): void {
    this.#pending -= 1;
    if (this.#leases.has(lease)) {
      this.gauges.release('leases');
    }
    this.#leases.set(lease, now + ttlSeconds * 1_000);
  }

  refused(): void {
    this.#pending -= 1;
    this.gauges.release('leases');
  }

  /** A lease of this binding's key space lives on. One that was granted elsewhere is not counted here. */
  keptAlive(lease: number, ttlSeconds: number, now: number): void {
    if (this.#leases.has(lease)) {
      this.#leases.set(lease, now + ttlSeconds * 1_000);
    }
  }

  revoked(lease: number): void {
    if (this.#leases.delete(lease)) {
      this.gauges.release('leases');
    }
  }

  /** Those that still live, as far as is known here; what ends first comes first, as in etcd's list. */
  alive(now: number): number[] {
    const alive = [...this.#leases].filter(([, endAt]) => endAt > now);
    return alive.sort(([, one], [, other]) => one - other).map(([lease]) => lease);
  }

  get isEmpty(): boolean {
    return this.#leases.size + this.#pending === 0;
  }

  /** @returns how many */
  #forgetEnded(now: number): number {
    let ended = 0;
    for (const [lease, endAt] of this.#leases) {
      if (endAt <= now) {
        this.revoked(lease);
        ended += 1;
      }
    }
    return ended;
  }
}
