import { type LimitRefusal, tooManyRequests } from './refusals.js';

/** What is counted at one time for each binding. */
export const GAUGE_KINDS = [
  'connections',
  'streams',
  'watches',
  'leases',
  'requests',
  'requestBytes',
] as const;
export type GaugeKind = (typeof GAUGE_KINDS)[number];
export type GaugeCounts = { [kind in GaugeKind]: number };

/**
 * For one binding at one portal. Connections as Compose's portals had, for each unit of the instance; etcd's clients
 * use one stream for many watches.
 */
export const BINDING_LIMITS: Readonly<GaugeCounts> = {
  connections: 2_000,
  streams: 4_000,
  watches: 10_000,
  leases: 10_000,
  requests: 2_000,
  requestBytes: 32 << 20,
};

/** For all bindings of a portal together. */
export const PORTAL_LIMITS: Readonly<GaugeCounts> = {
  connections: 10_000,
  streams: 40_000,
  watches: 200_000,
  leases: 1_000_000,
  requests: 20_000,
  requestBytes: 128 << 20,
};

/** How many connections a binding may have at a portal. However many units: half of the portal is for others. */
export function mostConnections(
  units: number,
  binding: Readonly<GaugeCounts> = BINDING_LIMITS,
  portal: Readonly<GaugeCounts> = PORTAL_LIMITS,
): number {
  return Math.max(binding.connections, Math.min(binding.connections * units, portal.connections / 2));
}

const none = (): GaugeCounts => ({
  connections: 0,
  streams: 0,
  watches: 0,
  leases: 0,
  requests: 0,
  requestBytes: 0,
});

/** The sums over all bindings of a portal. */
export class PortalGauges {
  readonly counts = none();
  /** How often each limit has refused something. */
  readonly refusals = new Map<string, number>();

  constructor(
    readonly limits: Readonly<GaugeCounts> = PORTAL_LIMITS,
    readonly bindingLimits: Readonly<GaugeCounts> = BINDING_LIMITS,
  ) {}

  /** Counts a refusal. */
  refused({ limit }: LimitRefusal): void {
    this.refusals.set(limit, (this.refusals.get(limit) ?? 0) + 1);
  }

  /** @param units those that its instance has now */
  forBinding(units: () => number = () => 1): BindingGauges {
    return new BindingGauges(this, units);
  }
}

/**
 * What one binding holds at one portal. Whoever acquires releases exactly once, unless the binding is gone: then all is
 * released at once, and later releases do nothing.
 */
export class BindingGauges {
  readonly counts = none();
  #isGone = false;

  constructor(
    readonly portal: PortalGauges,
    readonly units: () => number,
  ) {}

  /** @returns why not; nothing is held then */
  acquire(kind: GaugeKind, amount = 1): LimitRefusal | undefined {
    const { counts, limits, bindingLimits } = this.portal;
    const most =
      kind === 'connections' ? mostConnections(this.units(), bindingLimits, limits) : bindingLimits[kind];
    if (this.#isGone || this.counts[kind] + amount > most) {
      return tooManyRequests(kind);
    }
    if (counts[kind] + amount > limits[kind]) {
      return tooManyRequests(`portal ${kind}`);
    }
    this.counts[kind] += amount;
    counts[kind] += amount;
    return undefined;
  }

  /** @throws RangeError when more is released than is held: a fault of the caller's, which must not go unseen */
  release(kind: GaugeKind, amount = 1): void {
    if (this.#isGone) {
      return;
    }
    if (amount > this.counts[kind]) {
      throw new RangeError(`${amount} ${kind} released, ${this.counts[kind]} held`);
    }
    this.counts[kind] -= amount;
    this.portal.counts[kind] -= amount;
  }

  /** The binding is gone, and what it holds is being cut by its owners. */
  close(): void {
    if (!this.#isGone) {
      this.#isGone = true;
      for (const kind of GAUGE_KINDS) {
        this.portal.counts[kind] -= this.counts[kind];
        this.counts[kind] = 0;
      }
    }
  }
}
