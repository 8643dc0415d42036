import { Whitelist, type WhitelistEntry, whitelistProblems } from '../../addresses/whitelist.js';
import type { SignIn } from '../../etcd/sign-in.js';
import { Flow } from '../limits/fairness.js';
import type { BindingGauges, PortalGauges } from '../limits/gauges.js';
import type { InstanceBudgets } from '../limits/instance-budgets.js';
import type { LimitRefusal } from '../limits/refusals.js';
import type { StoredBytes } from '../limits/stored-bytes.js';
import type { Tallies, Tally } from '../metrics/tallies.js';
import { type Scope, scopeOf } from '../rewriter/scope.js';
import type { Tenant } from '../tenants/tenant.js';
import type { Upstream } from '../upstream/upstream.js';
import { refusal } from './admission.js';
import { LeaseCount } from './lease-count.js';
import { type Status, statuses } from './status.js';

/** Something of a tenant's that ends with it: a call or a connection. */
export interface Held {
  /** Called once, when the tenant is gone. */
  tenantGone(status: Status): void;
  /** The instance's settings have changed: its whitelist perhaps, or whether it is held. */
  settingsChanged?(): void;
  /** The portal stops: what has no end of its own ends now. */
  draining?(): void;
}

export interface ActiveTenantParts {
  readonly upstream: Upstream;
  readonly gauges: PortalGauges;
  readonly budgets: InstanceBudgets;
  readonly tallies: Tallies;
  /** What stands in headers in place of the cluster's and the member's ids, see `headerIdentity`. */
  readonly identity: Buffer;
}

/** A tenant that has made calls here lately: what belongs to it at this portal. */
export class ActiveTenant {
  readonly scope: Scope;
  readonly gauges: BindingGauges;
  readonly leases: LeaseCount;
  readonly flow = new Flow();
  readonly signIn: SignIn;
  readonly held = new Set<Held>();
  readonly tally: Tally;
  /** On the clock of `performance.now()`. */
  usedAt = 0;
  #whitelist: Pick<Whitelist, 'allows'> | undefined;

  constructor(
    readonly tenant: Tenant,
    readonly parts: ActiveTenantParts,
  ) {
    const { prefix, leaseTag } = tenant.scope;
    this.scope = scopeOf(prefix, leaseTag, parts.identity);
    this.gauges = parts.gauges.forBinding(() => tenant.instance.settings.units);
    this.leases = new LeaseCount(this.gauges);
    this.signIn = parts.upstream.signIn(tenant);
    this.tally = parts.tallies.use(tenant.instance.settings.deploymentId);
    const stopListening = tenant.instance.onChange(() => this.#changed());
    tenant.onGone(() => {
      stopListening();
      this.#gone();
    });
  }

  /** Whether the instance's whitelist lets an address in. */
  allows(peer: string): boolean {
    this.#whitelist ??= whitelistOf(this.tenant);
    return this.#whitelist.allows(peer);
  }

  /** Whether its calls wait, see {@link InstanceSettings.isHeld}. */
  get isHeld(): boolean {
    return this.tenant.instance.settings.isHeld;
  }

  /** The budgets of its instance; by the quota that the directory knows now. */
  get bytes(): StoredBytes {
    const { deploymentId, quotaBytes } = this.tenant.instance.settings;
    return this.parts.budgets.of(deploymentId, quotaBytes);
  }

  /** What the tenant is told of a limit, which is counted. */
  refuse(refused: LimitRefusal): Status {
    this.parts.gauges.refused(refused);
    return refusal(refused);
  }

  get isIdle(): boolean {
    return this.held.size === 0 && this.leases.isEmpty;
  }

  #changed(): void {
    this.#whitelist = undefined;
    for (const held of [...this.held]) {
      held.settingsChanged?.();
    }
  }

  #gone(): void {
    // The latest first: a connection is held before its calls, and closes after they have been ended.
    for (const held of [...this.held].reverse()) {
      held.tenantGone(statuses.invalidToken);
    }
    this.held.clear();
    this.gauges.close();
  }
}

/** A list that can't be read lets nobody in: the broker checks what it writes. */
export function whitelistOf({ instance }: Tenant): Pick<Whitelist, 'allows'> {
  const { whitelist = [] } = instance.settings;
  return whitelistProblems(whitelist).length > 0
    ? { allows: () => false }
    : new Whitelist(whitelist as readonly WhitelistEntry[]);
}

/** A tenant without calls is forgotten after this time, in milliseconds: etcd has forgotten its token by then. */
const FORGET_AFTER_MS = 300_000;

/** All tenants that are active at this portal. */
export class ActiveTenants {
  readonly #active = new Map<Tenant, ActiveTenant>();

  constructor(readonly parts: ActiveTenantParts) {}

  /** @param tenant not gone */
  of(tenant: Tenant): ActiveTenant {
    return this.#active.get(tenant) ?? this.#add(tenant);
  }

  [Symbol.iterator](): IterableIterator<ActiveTenant> {
    return this.#active.values();
  }

  get size(): number {
    return this.#active.size;
  }

  /** Ends the streams of all tenants, whose clients then open them elsewhere. */
  endStreams(): void {
    for (const { held } of this.#active.values()) {
      for (const one of [...held]) {
        one.draining?.();
      }
    }
  }

  /** Forgets who is idle; called now and then. */
  sweep(now: number): void {
    for (const [tenant, active] of this.#active) {
      if (!active.isIdle) {
        active.usedAt = now;
      } else if (now - active.usedAt > FORGET_AFTER_MS) {
        this.#forget(tenant);
      }
    }
  }

  #add(tenant: Tenant): ActiveTenant {
    const active = new ActiveTenant(tenant, this.parts);
    active.usedAt = performance.now();
    this.#active.set(tenant, active);
    tenant.onGone(() => this.#forget(tenant));
    return active;
  }

  #forget(tenant: Tenant): void {
    const active = this.#active.get(tenant);
    if (active !== undefined) {
      this.#active.delete(tenant);
      active.tally.uses -= 1;
    }
  }
}
