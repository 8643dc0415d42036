import type { AllowedCall } from '../table/lookup.js';
import { callsByPath } from '../table/lookup.js';
import type { Tokens } from '../tenants/tokens.js';
import type { ActiveTenant, Held } from './active-tenant.js';
import { ForwardedCall } from './forwarded-call.js';
import type { ConnectionCalls, InboundCall, InboundConnection, InboundHandlers } from './inbound.js';
import { KeepAlive } from './keep-alive.js';
import { LeaseCall } from './lease-call.js';
import type { LocalCalls } from './local/local-calls.js';
import type { ForwardingParts } from './parts.js';
import { ServerStream } from './server-stream.js';
import { SessionCall } from './session-call.js';
import { type Status, statuses, unimplemented } from './status.js';
import type { StreamCall } from './stream-call.js';
import { Watch } from './watch.js';

export interface DispatchParts {
  readonly forwarding: ForwardingParts;
  readonly tokens: Tokens;
  readonly local: LocalCalls;
}

/** So many tenants may use one connection: an application has one, a proxy of its own perhaps some more. */
const MAX_TENANTS = 64;

/** The calls of one connection: each by its path and its token to whoever handles it. */
export class Dispatch implements ConnectionCalls, Held {
  /** Each is counted as a connection of that tenant's. */
  readonly #tenants = new Set<ActiveTenant>();
  #latest: ActiveTenant | undefined;

  constructor(
    readonly parts: DispatchParts,
    readonly connection: InboundConnection,
  ) {}

  accept(inbound: InboundCall): InboundHandlers | undefined {
    const call = callsByPath.get(inbound.path);
    if (call === undefined) {
      return this.parts.local.withoutToken(inbound) ?? refuse(inbound, unimplemented(inbound.path));
    }
    if (call.name === 'Authenticate') {
      return this.parts.local.authenticate(inbound, this.connection);
    }
    if (inbound.token === undefined && call.name === 'MemberList' && call.handling === 'local') {
      // etcd answers it, and etcdctl asks so for `--cluster`.
      return this.parts.local.handle(call, undefined, inbound);
    }
    if (inbound.token === undefined) {
      return refuse(inbound, statuses.userEmpty);
    }
    const tenant = this.parts.tokens.verify(inbound.token);
    if (tenant === undefined) {
      return refuse(inbound, statuses.invalidToken);
    }
    if (call.handling === 'denied') {
      return refuse(inbound, statuses.permissionDenied);
    }
    let active = this.#latest;
    if (active === undefined || active.tenant !== tenant) {
      active = this.parts.forwarding.active.of(tenant);
      const refused = this.#join(active);
      if (refused !== undefined) {
        return refuse(inbound, refused);
      }
      this.#latest = active;
    }
    return this.#handle(call, active, inbound);
  }

  closed(): void {
    for (const active of this.#tenants) {
      active.held.delete(this);
      active.gauges.release('connections');
    }
    this.#tenants.clear();
    this.#latest = undefined;
  }

  /** A connection whose last tenant is gone is of no use to anybody. */
  tenantGone(): void {
    for (const active of this.#tenants) {
      if (active.tenant.isGone) {
        this.#tenants.delete(active);
      }
    }
    this.#latest = undefined;
    if (this.#tenants.size === 0) {
      this.connection.close('the binding is gone');
    }
  }

  settingsChanged(): void {
    if ([...this.#tenants].some((active) => !active.allows(this.connection.peer))) {
      this.connection.close('the address is not on the whitelist');
    }
  }

  #join(active: ActiveTenant): Status | undefined {
    if (this.#tenants.has(active)) {
      return undefined;
    }
    if (this.#tenants.size >= MAX_TENANTS || !active.allows(this.connection.peer)) {
      return statuses.permissionDenied;
    }
    const refused = active.gauges.acquire('connections');
    if (refused !== undefined) {
      return active.refuse(refused);
    }
    this.#tenants.add(active);
    this.connection.signedIn();
    active.held.add(this);
    return undefined;
  }

  #handle(call: AllowedCall, active: ActiveTenant, inbound: InboundCall): InboundHandlers | undefined {
    const { forwarding, local } = this.parts;
    switch (call.handling) {
      case 'forward':
        if (call.path.startsWith('/etcdserverpb.KV/')) {
          return new ForwardedCall(forwarding, active, call, inbound);
        }
        return call.path.startsWith('/etcdserverpb.')
          ? new LeaseCall(forwarding, active, call, inbound)
          : new SessionCall(forwarding, active, call, inbound);
      case 'watch':
        return begun(new Watch(forwarding, active, call, inbound), inbound);
      case 'keep alive':
        return begun(new KeepAlive(forwarding, active, call, inbound), inbound);
      case 'observe':
      case 'range stream':
        return begun(new ServerStream(forwarding, active, call, inbound), inbound);
      case 'local':
        return local.handle(call, active, inbound);
    }
  }
}

function begun(stream: StreamCall, inbound: InboundCall): InboundHandlers | undefined {
  const refused = stream.begin();
  return refused === undefined ? stream : refuse(inbound, refused);
}

function refuse(inbound: InboundCall, { code, message }: Status): undefined {
  inbound.end(code, message);
}
