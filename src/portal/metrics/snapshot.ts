import type { ActiveTenants } from '../calls/active-tenant.js';
import type { GaugeCounts, PortalGauges } from '../limits/gauges.js';
import type { InstanceBudgets } from '../limits/instance-budgets.js';
import type { CallTime, CallTimes } from './call-times.js';
import type { Tallies } from './tallies.js';

/** What stands for the others in place of a deployment's id. */
export const OTHERS = 'other';

/** One instance at one portal. Bytes, and counts as of now or since the start. */
export interface InstanceSnapshot {
  readonly instance: string;
  requests: number;
  received: number;
  sent: number;
  connections: number;
  streams: number;
  stored: number;
  quota: number;
  history: number;
}

/** What a portal tells of itself: plain data, which can be sent between threads. No keys, no names of users. */
export interface PortalSnapshot {
  /** Of all kinds, those included on which nobody has signed in. */
  readonly connections: number;
  readonly held: GaugeCounts;
  readonly calls: readonly CallTime[];
  readonly refusals: readonly (readonly [limit: string, count: number])[];
  readonly instances: readonly InstanceSnapshot[];
  /** When its certificate expires, in milliseconds since 1970; undefined without TLS. */
  readonly certificateExpiry: number | undefined;
}

/** What its listener knows. */
export type ListenerSnapshot = Pick<PortalSnapshot, 'connections' | 'certificateExpiry'>;

export interface SnapshotParts {
  readonly active: ActiveTenants;
  readonly budgets: InstanceBudgets;
  readonly gauges: PortalGauges;
  readonly times: CallTimes;
  readonly tallies: Tallies;
}

export function portalSnapshot(
  parts: SnapshotParts,
  { connections, certificateExpiry }: ListenerSnapshot,
): PortalSnapshot {
  const { gauges, times } = parts;
  return {
    connections,
    held: { ...gauges.counts },
    calls: times.snapshot(),
    refusals: [...gauges.refusals],
    instances: instances(parts),
    certificateExpiry,
  };
}

/** Those that have a tally of their own, and the others as one. */
function instances({ active, budgets, tallies }: SnapshotParts): InstanceSnapshot[] {
  const others = { ...nothing(OTHERS), ...tallies.others };
  const found = new Map<string, InstanceSnapshot>();
  for (const [instance, { requests, counts }] of tallies.own()) {
    found.set(instance, { ...nothing(instance), requests, received: counts.received, sent: counts.sent });
  }
  for (const { tenant, gauges } of active) {
    const one = found.get(tenant.instance.settings.deploymentId) ?? others;
    one.connections += gauges.counts.connections;
    one.streams += gauges.counts.streams;
  }
  // Also of those that nobody uses at the moment.
  for (const [instance, { estimate, history, quota }] of budgets) {
    const one = found.get(instance) ?? others;
    one.stored += estimate;
    one.history += history;
    one.quota += quota;
  }
  return [...found.values(), others];
}

function nothing(instance: string): InstanceSnapshot {
  return {
    instance,
    requests: 0,
    received: 0,
    sent: 0,
    connections: 0,
    streams: 0,
    stored: 0,
    quota: 0,
    history: 0,
  };
}
