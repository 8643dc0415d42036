import type { SignIn } from '../../etcd/sign-in.js';
import { Flow } from '../limits/fairness.js';
import type { BindingGauges, PortalGauges } from '../limits/gauges.js';
import type { InstanceBudgets } from '../limits/instance-budgets.js';
import type { StoredBytes } from '../limits/stored-bytes.js';
import { type Scope, scopeOf } from '../rewriter/scope.js';
import type { Tenant } from '../tenants/tenant.js';
import type { Upstream } from '../upstream/upstream.js';
import { type Status, statuses } from './status.js';

/** Something of a tenant's that ends with it: a call or a connection. */
export interface Held {
  /** Called once, when the tenant is gone. */
  tenantGone(status: Status): void;
}

export interface ActiveTenantParts {
  readonly upstream: Upstream;
  readonly gauges: PortalGauges;
  readonly budgets: InstanceBudgets;
  /** What stands in headers in place of the cluster's and the member's ids, see `headerIdentity`. */
  readonly identity: Buffer;
}

/** A tenant that has made calls here lately: what belongs to it at this portal. */
export class ActiveTenant {
  readonly scope: Scope;
  readonly gauges: BindingGauges;
  readonly flow = new Flow();
  readonly signIn: SignIn;
  readonly held = new Set<Held>();
  /** On the clock of `performance.now()`. */
  usedAt = 0;

  constructor(
    readonly tenant: Tenant,
    readonly parts: ActiveTenantParts,
  ) {
    const { prefix, leaseTag } = tenant.scope;
    this.scope = scopeOf(prefix, leaseTag, parts.identity);
    this.gauges = parts.gauges.forBinding();
    this.signIn = parts.upstream.signIn(tenant);
    tenant.onGone(() => this.#gone());
  }

  /** The budgets of its instance; by the quota that the directory knows now. */
  get bytes(): StoredBytes {
    const { deploymentId, quotaBytes } = this.tenant.instance.settings;
    return this.parts.budgets.of(deploymentId, quotaBytes);
  }

  get isIdle(): boolean {
    return this.held.size === 0 && this.gauges.counts.requests === 0;
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

  get size(): number {
    return this.#active.size;
  }

  /** Forgets who is idle; called now and then. */
  sweep(now: number): void {
    for (const [tenant, active] of this.#active) {
      if (!active.isIdle) {
        active.usedAt = now;
      } else if (now - active.usedAt > FORGET_AFTER_MS) {
        this.#active.delete(tenant);
      }
    }
  }

  #add(tenant: Tenant): ActiveTenant {
    const active = new ActiveTenant(tenant, this.parts);
    active.usedAt = performance.now();
    this.#active.set(tenant, active);
    tenant.onGone(() => this.#active.delete(tenant));
    return active;
  }
}
